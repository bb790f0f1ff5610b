-- The chronological journal of what officers did (CP-5.4). `object` names things by identifier, hash and serial number; names
-- of subscribers, their numbers and addresses have no place in it (CP-9.4).
create table journal (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  act text not null,
  object jsonb not null
);
