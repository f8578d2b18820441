-- A profile that is sent to a server may be sent twice, and its key tells that it is the same.
ALTER TABLE profile ADD COLUMN key TEXT;
CREATE UNIQUE INDEX profile_of_key ON profile (key) WHERE key IS NOT NULL;
