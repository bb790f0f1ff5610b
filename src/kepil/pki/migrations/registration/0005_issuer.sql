-- Which CA issues is settled when it does: what was applied for before a re-key is issued under the key that follows (CP-5.6).
-- All else is as before (0003).
create or replace function check_application() returns trigger language plpgsql as $$
declare
  goes_on text[] := array['email', 'state', 'reason', 'serial', 'told_at'];
begin
  if (old.state, new.state) = ('approved', 'issued') then
    goes_on := goes_on || 'authority'::text;
  end if;
  if (to_jsonb(old) - goes_on) is distinct from (to_jsonb(new) - goes_on)
    or (new.email is not null and new.email is distinct from old.email)
    or (old.state, new.state) not in (
      ('submitted', 'approved'), ('submitted', 'rejected'), ('approved', 'issued'), ('approved', 'refused'),
      ('issued', 'issued'))
    or (old.state = 'issued' and (new.serial <> old.serial or old.told_at is not null))
  then
    raise exception 'application %: from % to % changes what stands', old.id, old.state, new.state
      using errcode = 'restrict_violation';
  end if;
  if new.state = 'approved' and new.approvals_needed >
    (select count(*) from finding where application = new.id and verdict = 'approved')
  then
    raise exception 'application % lacks approvals', new.id using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
