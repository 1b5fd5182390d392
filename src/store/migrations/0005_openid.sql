-- Who made a user: an admin here, or a first login at the OpenID provider, whose groups then say
-- the role at each login.
ALTER TABLE users ADD COLUMN origin TEXT NOT NULL DEFAULT 'local' CHECK (origin IN ('local', 'openid'));
-- What a login that waits for a code will have been.
ALTER TABLE pending_logins ADD COLUMN method TEXT NOT NULL DEFAULT 'second_factor';
