-- Every certificate issued. The key's digest is unique across all authorities: a key seen before is refused (CP-3.3, CP-4.6).
create table certificate (
  serial bytea primary key,
  issuer text not null,
  subject text not null,
  profile text not null,
  not_before timestamptz not null,
  not_after timestamptz not null,
  spki_sha256 bytea not null constraint key_seen_once unique,
  der bytea not null,
  issued_at timestamptz not null default clock_timestamp(),
  requested_by text not null,
  idempotency_sha256 bytea constraint idempotency_key_once unique,
  request_sha256 bytea not null,
  foreign key (issuer, serial) references status (issuer, serial)
);
