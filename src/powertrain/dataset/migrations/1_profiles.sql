-- One row per profile, and the knobs seen.
CREATE TABLE profile (
    id $serial,
    device TEXT NOT NULL CHECK (device <> ''),
    workload TEXT NOT NULL CHECK (workload <> ''),
    mode TEXT NOT NULL,                  -- JSON object: knob -> value, in the mode's order
    time_ms $real CHECK (time_ms > 0),   -- NULL: not measured
    power_w $real CHECK (power_w > 0),
    time_rel_se $real CHECK (time_rel_se >= 0),
    power_rel_se $real CHECK (power_rel_se >= 0),
    duration_s $real CHECK (duration_s >= 0),
    flags TEXT NOT NULL DEFAULT '[]',    -- JSON array of text
    extra TEXT NOT NULL DEFAULT '{}',    -- JSON object: column -> text
    added_at TEXT NOT NULL DEFAULT ($now),
    CHECK (time_ms IS NOT NULL OR power_w IS NOT NULL)
);
CREATE INDEX profile_of_workload ON profile (workload, device);
CREATE TABLE knob (position $serial, name TEXT NOT NULL UNIQUE);
