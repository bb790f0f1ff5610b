-- The chronological journal of certificate life-cycle events (CP-5.4): who did what to which object, when. `object` names
-- things by serial and number; names, keys and passwords have no place in it.
create table journal (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  act text not null,
  object jsonb not null
);
