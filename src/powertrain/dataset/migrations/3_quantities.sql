-- A profile may hold further quantities, and needs no time or power if it does.
DROP VIEW IF EXISTS profiles;
DROP INDEX IF EXISTS profile_of_workload;
ALTER TABLE profile RENAME TO profile_2;
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
    others TEXT NOT NULL DEFAULT '{}',   -- JSON object: column of another quantity -> number
    CHECK (time_ms IS NOT NULL OR power_w IS NOT NULL OR flags <> '[]' OR others <> '{}')
);
INSERT INTO profile SELECT *, '{}' FROM profile_2;
DROP TABLE profile_2;
CREATE INDEX profile_of_workload ON profile (workload, device);
CREATE TABLE quantity (position $serial, name TEXT NOT NULL UNIQUE);
