-- Applications to the registration authority (CP-3.2, CP-4.1). `number` gives their order. The request holds the subscriber's
-- names; `email` is kept until the subscriber has been told of the issue, or the application is over (CP-4.4, CP-9.4).
create table application (
  id uuid primary key default gen_random_uuid(),
  number bigint generated always as identity unique,
  branch text not null,
  profile text not null,
  authority text not null,
  request bytea not null,
  request_sha256 bytea not null,
  key_sha256 bytea not null,
  email text,
  document_sha256 bytea not null,
  submitted_by text not null,
  submitted_at timestamptz not null default clock_timestamp(),
  idempotency_sha256 bytea not null constraint idempotency_key_once unique,
  body_sha256 bytea not null,
  approvals_needed smallint not null check (approvals_needed > 0),
  state text not null default 'submitted' check (state in ('submitted', 'approved', 'rejected', 'refused', 'issued')),
  reason text,
  serial bytea unique,
  told_at timestamptz,
  check ((reason is not null) = (state in ('rejected', 'refused'))),
  check ((serial is not null) = (state = 'issued')),
  check (told_at is null or state = 'issued'),
  check ((email is null) = (told_at is not null or state in ('rejected', 'refused')))
);
-- A key is in one application at a time; the CA knows every key that ever had a certificate (CP-3.3).
create unique index key_in_one_application on application (key_sha256) where state in ('submitted', 'approved', 'issued');
create index application_page on application (branch, state, number);
create index application_branch on application (branch, number);
create index application_unissued on application (number) where state = 'approved';
create index application_untold on application (number) where state = 'issued' and told_at is null;

-- What officers found: who checked, who approved, who rejected. An officer says each once.
create table finding (
  application uuid not null references application,
  officer text not null,
  verdict text not null check (verdict in ('checked', 'approved', 'rejected')),
  at timestamptz not null default clock_timestamp(),
  primary key (application, officer, verdict)
);
