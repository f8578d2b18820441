-- A flagged profile may have neither time nor power: its mode was tried, and this is why it failed.
DROP VIEW IF EXISTS profiles;
ALTER TABLE profile RENAME TO profile_1;
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
    CHECK (time_ms IS NOT NULL OR power_w IS NOT NULL OR flags <> '[]')
);
INSERT INTO profile SELECT * FROM profile_1;
DROP TABLE profile_1;
CREATE INDEX profile_of_workload ON profile (workload, device);
