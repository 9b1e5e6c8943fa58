BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE authorization_requests (
	workspace_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	state_digest TEXT NOT NULL, 
	browser_digest TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	connect_session_id TEXT NOT NULL, 
	credential_id TEXT NOT NULL, 
	client TEXT NOT NULL, 
	issuer TEXT NOT NULL, 
	token_endpoint TEXT NOT NULL, 
	verifier_sealed BLOB NOT NULL, 
	scopes TEXT NOT NULL, 
	redirect_uri TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	popup BOOLEAN NOT NULL, 
	CONSTRAINT pk_authorization_requests PRIMARY KEY (workspace_id, id), 
	CONSTRAINT uq_authorization_requests_state_digest UNIQUE (state_digest)
);
CREATE TABLE clients (
	workspace_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	client_id TEXT NOT NULL, 
	secret_sealed BLOB, 
	version BIGINT NOT NULL, 
	scopes TEXT NOT NULL, 
	variables TEXT NOT NULL, 
	incident_code TEXT NOT NULL, 
	incident_since BIGINT, 
	probe_at BIGINT, 
	updated_at BIGINT, 
	CONSTRAINT pk_clients PRIMARY KEY (workspace_id, id), 
	CONSTRAINT uq_clients_id UNIQUE (id), 
	CONSTRAINT uq_clients_workspace_id_provider UNIQUE (workspace_id, provider), 
	CONSTRAINT ck_clients_version CHECK (version > 0)
);
INSERT INTO "clients" VALUES('15ae0904-1d5f-49ac-9f3e-16f65002d688','client-1','fake','client-1',X'0101E5E191A8C68BB524F7C1A13E7B9449EA337A0D9571978791F04531F5B3E93AFF62183AED4587F8B28BD40A2044A6863E1EA93ABAB252B6F8AF3827',1,'[]','{}','',NULL,NULL,1795521600000000);
CREATE TABLE connect_sessions (
	workspace_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	secret_digest TEXT NOT NULL, 
	type TEXT NOT NULL, 
	name TEXT NOT NULL, 
	credential_id TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	values_sealed BLOB, 
	return_url TEXT NOT NULL, 
	opener_origin TEXT NOT NULL, 
	minted_by TEXT NOT NULL, 
	state TEXT NOT NULL, 
	problem_code TEXT NOT NULL, 
	problem_detail TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	confirm_digest TEXT NOT NULL, 
	pending_sealed BLOB, 
	CONSTRAINT pk_connect_sessions PRIMARY KEY (workspace_id, id), 
	CONSTRAINT uq_connect_sessions_secret_digest UNIQUE (secret_digest), 
	CONSTRAINT ck_connect_sessions_state CHECK (state IN ('pending', 'awaiting_confirmation', 'connected', 'failed', 'expired'))
);
CREATE TABLE credential_references (
	workspace_id TEXT NOT NULL, 
	credential_id TEXT NOT NULL, 
	consumer TEXT NOT NULL, 
	declared BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	last_used_at BIGINT, 
	CONSTRAINT pk_credential_references PRIMARY KEY (workspace_id, credential_id, consumer), 
	CONSTRAINT fk_credential_references_credentials FOREIGN KEY(workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
);
CREATE TABLE credentials (
	workspace_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	type TEXT NOT NULL, 
	name TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	values_sealed BLOB, 
	values_version BIGINT NOT NULL, 
	masked TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, 
	created_by TEXT NOT NULL, 
	CONSTRAINT pk_credentials PRIMARY KEY (workspace_id, id), 
	CONSTRAINT ck_credentials_version CHECK (version > 0)
);
INSERT INTO "credentials" VALUES('15ae0904-1d5f-49ac-9f3e-16f65002d688','credential-1','fakeOAuth2','My Acme','my acme',1,NULL,1,'{}',1795519104487000,1795519104487000,'user/user-1');
INSERT INTO "credentials" VALUES('15ae0904-1d5f-49ac-9f3e-16f65002d688','53fa46cc-0d42-4d3e-a70a-021f0a21e642','openAIApi','Frozen key','frozen key',1,X'0101E5E191A8C68BB524F7C1A13E7B9449EA8D94C26766E90BDB239172ED78A33B68DD90B9CC5A6281AF699A918A99879C454858427CED4C7F3A9E74629769761EA4201A6FC237752C073F6C05BF9FFC495DFA90C0',1,'{"openAIApiKey":"••••••••6789"}',1795519104601907,1795519104601907,'system');
CREATE TABLE data_keys (
	id BLOB NOT NULL, 
	workspace_id TEXT NOT NULL, 
	wrapped BLOB NOT NULL, 
	root_key_id TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	active BOOLEAN NOT NULL, 
	used BIGINT NOT NULL, 
	CONSTRAINT pk_data_keys PRIMARY KEY (id), 
	CONSTRAINT ck_data_keys_used CHECK (used >= 0)
);
INSERT INTO "data_keys" VALUES(X'3C7888EE6A7913A4ED4774C64852457D','instance',X'01A40CD61D3D7614C8EB041789E0A739DC62C7666A35C1A4E5E386EF14EBCE388F8B768CB31A38300F0FBCDA9E9BFFA348C4CB0A94A97110348A1DA640','61a0ca6b7c145618',1795519104417353,1,10000);
INSERT INTO "data_keys" VALUES(X'E5E191A8C68BB524F7C1A13E7B9449EA','15ae0904-1d5f-49ac-9f3e-16f65002d688',X'01DEAB7C00218618BFBD1FE57413CE144D39537F2B63E95CFCFBF7F8A1681F775A789FBFB68EF072A8593A85D3FCDBE981A81BCF552920E814EBDDF56A','61a0ca6b7c145618',1795519104475705,1,20000);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	workspace_id TEXT NOT NULL, 
	credential_id TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (seq), 
	CONSTRAINT uq_events_workspace_id_id UNIQUE (workspace_id, id)
);
INSERT INTO "events" VALUES(1,'event-1','15ae0904-1d5f-49ac-9f3e-16f65002d688','credential-1',1795519104487000,'created','user/user-1','{}');
INSERT INTO "events" VALUES(2,'event-2','15ae0904-1d5f-49ac-9f3e-16f65002d688','credential-1',1795519104487000,'created','user/user-1','{}');
INSERT INTO "events" VALUES(3,'975d01c5-c9f1-4fa5-b4ea-df9c544d15dd','15ae0904-1d5f-49ac-9f3e-16f65002d688','53fa46cc-0d42-4d3e-a70a-021f0a21e642',1795519104611487,'created','system','{}');
CREATE TABLE grants (
	workspace_id TEXT NOT NULL, 
	credential_id TEXT NOT NULL, 
	grant_id TEXT NOT NULL, 
	client TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	sealed BLOB NOT NULL, 
	state TEXT NOT NULL, 
	expires_at BIGINT, 
	refresh_expires_at BIGINT, 
	next_refresh_at BIGINT, 
	last_refresh_at BIGINT, 
	failure_kind TEXT, 
	failure_code TEXT, 
	failure_count BIGINT, 
	failure_since BIGINT, 
	connected_at BIGINT NOT NULL, 
	prev_sealed BLOB, 
	prev_until BIGINT, 
	account_sealed BLOB, 
	scopes_requested TEXT NOT NULL, 
	scopes_granted TEXT, 
	fence BIGINT NOT NULL, 
	lease_owner TEXT NOT NULL, 
	lease_until BIGINT, 
	intent_at BIGINT, 
	intent_fingerprint TEXT NOT NULL, 
	prior_intent_at BIGINT, 
	prior_intent_fingerprint TEXT DEFAULT '' NOT NULL, 
	prior_next_refresh_at BIGINT, 
	revision BIGINT DEFAULT 1 NOT NULL, 
	CONSTRAINT pk_grants PRIMARY KEY (workspace_id, credential_id), 
	CONSTRAINT fk_grants_credentials FOREIGN KEY(workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE, 
	CONSTRAINT ck_grants_failure CHECK ((failure_kind IS NULL) = (failure_since IS NULL)), 
	CONSTRAINT ck_grants_failure_kind CHECK (failure_kind IN ('transient', 'client', 'grant', 'internal')), 
	CONSTRAINT ck_grants_fence CHECK (fence >= 0), 
	CONSTRAINT ck_grants_lease CHECK ((lease_owner = '') = (lease_until IS NULL)), 
	CONSTRAINT ck_grants_state CHECK (state IN ('connected', 'failing', 'reauthorization_required', 'quarantined')), 
	CONSTRAINT ck_grants_version CHECK (version > 0)
);
INSERT INTO "grants" VALUES('15ae0904-1d5f-49ac-9f3e-16f65002d688','credential-1','grant-1','client-1','fake',1,X'0101E5E191A8C68BB524F7C1A13E7B9449EA2CBCD78171B9D5281F82C306EFD275A38E9E9918740E2CF0816B8E197E329F204F406A22118C022808B11BDCF283B058BAAD6008BCBA0C591F737E0F3946269A5119228046218F9D2578FE40362FB455DB05273654F81569664715237CED543B6B0116D7272FF5F3631EDE78B8D63FBC24588BBBF7499204CC86F675F5AF6044EB982B15C06FBA4E7F4B96CEEDC8C24D6291F393056ED23FF0997E2E11B94A43DEBF56A2847C9C1E682B7A19D0672718122FC62F967E','connected',2110879104487000,NULL,2110879104487000,NULL,NULL,NULL,NULL,NULL,1795515504487000,NULL,NULL,NULL,'["read"]','["read"]',0,'',NULL,NULL,'',NULL,'',NULL,1);
CREATE TABLE instance (
	id INTEGER NOT NULL, 
	check_sealed BLOB NOT NULL, 
	CONSTRAINT pk_instance PRIMARY KEY (id), 
	CONSTRAINT ck_instance_single CHECK (id = 1)
);
INSERT INTO "instance" VALUES(1,X'01013C7888EE6A7913A4ED4774C64852457D9B5718F5B4B7704DAE1D2A54DB8FD27D0954FFA3FA0EE2082981E15054D27D22DF8D0A7CD8E0E35795668A0E78399F40CE4AA815375A24ECF1F4FAE7');
CREATE TABLE members (
	workspace_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_members PRIMARY KEY (workspace_id, user_id), 
	CONSTRAINT fk_members_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT fk_members_workspaces FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE, 
	CONSTRAINT ck_members_role CHECK (role IN ('owner', 'admin', 'editor', 'user', 'viewer'))
);
CREATE TABLE orphans (
	workspace_id TEXT NOT NULL, 
	credential_id TEXT NOT NULL, 
	grant_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	fence BIGINT NOT NULL, 
	sealed BLOB NOT NULL, 
	until BIGINT NOT NULL, 
	CONSTRAINT pk_orphans PRIMARY KEY (workspace_id, credential_id, grant_id, version, fence), 
	CONSTRAINT fk_orphans_credentials FOREIGN KEY(workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
);
CREATE TABLE service_keys (
	workspace_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	credential_ids TEXT, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	last_used_at BIGINT, 
	revoked_at BIGINT, 
	revision BIGINT DEFAULT 1 NOT NULL, 
	CONSTRAINT pk_service_keys PRIMARY KEY (workspace_id, id), 
	CONSTRAINT uq_service_keys_id UNIQUE (id)
);
INSERT INTO "service_keys" VALUES('15ae0904-1d5f-49ac-9f3e-16f65002d688','sugvcgzd','nodes','03fd19db5cf1dacacea601e64c71222377ee93ca4694977c52e5a74d48ce0348','["tokens:read"]',NULL,1795519104500461,NULL,NULL,NULL,1);
CREATE TABLE sign_in_links (
	digest TEXT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_sign_in_links PRIMARY KEY (digest)
);
CREATE TABLE user_sessions (
	digest TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	workspace_id TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	seen_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	browser TEXT NOT NULL, 
	CONSTRAINT pk_user_sessions PRIMARY KEY (digest), 
	CONSTRAINT fk_user_sessions_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE users (
	id TEXT NOT NULL, 
	email TEXT NOT NULL, 
	email_key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	password_hash TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_users PRIMARY KEY (id), 
	CONSTRAINT uq_users_email_key UNIQUE (email_key)
);
CREATE TABLE workspaces (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_workspaces PRIMARY KEY (id)
);
INSERT INTO "workspaces" VALUES('15ae0904-1d5f-49ac-9f3e-16f65002d688','Home',1795519104469281);
CREATE INDEX ix_credentials_by_name ON credentials (workspace_id, name_key, id);
CREATE INDEX ix_grants_by_client ON grants (workspace_id, client);
CREATE INDEX ix_grants_due ON grants (next_refresh_at) WHERE next_refresh_at IS NOT NULL;
CREATE INDEX ix_orphans_until ON orphans (until);
CREATE INDEX ix_events_of_credential ON events (workspace_id, credential_id, at, seq);
CREATE INDEX ix_events_recent ON events (workspace_id, at, seq);
CREATE INDEX ix_authorization_requests_expires_at ON authorization_requests (expires_at);
CREATE INDEX ix_authorization_requests_of_user ON authorization_requests (workspace_id, user_id);
CREATE INDEX ix_connect_sessions_expires_at ON connect_sessions (expires_at);
CREATE INDEX ix_members_of_user ON members (user_id);
CREATE INDEX ix_user_sessions_expires_at ON user_sessions (expires_at);
CREATE INDEX ix_user_sessions_of_user ON user_sessions (user_id);
CREATE UNIQUE INDEX ix_data_keys_active ON data_keys (workspace_id) WHERE active;
CREATE INDEX ix_data_keys_of_workspace ON data_keys (workspace_id);
COMMIT;
