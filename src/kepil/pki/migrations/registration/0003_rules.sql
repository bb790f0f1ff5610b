-- The rules that no officer and no fault of the service gets around (CP-2.4, CP-5.4).
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are never changed or deleted', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger immutable before update or delete or truncate on journal execute function refuse_change();
create trigger immutable before update or delete or truncate on finding execute function refuse_change();
create trigger undeletable before delete or truncate on application execute function refuse_change();

-- What was applied for stays as it was. An application goes on, never back, and is approved by as many as its profile wants.
create function check_application() returns trigger language plpgsql as $$
begin
  if (to_jsonb(old) - array['email', 'state', 'reason', 'serial', 'told_at'])
    is distinct from (to_jsonb(new) - array['email', 'state', 'reason', 'serial', 'told_at'])
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
create trigger goes_on before update on application for each row execute function check_application();

-- Who applied does not decide, and who approves has checked.
create function check_finding() returns trigger language plpgsql as $$
begin
  if new.verdict <> 'checked' and new.officer = (select submitted_by from application where id = new.application) then
    raise exception 'application %: who applied does not decide', new.application using errcode = 'restrict_violation';
  end if;
  if new.verdict = 'approved' and not exists (
    select from finding where application = new.application and officer = new.officer and verdict = 'checked')
  then
    raise exception 'application %: approved unchecked', new.application using errcode = 'restrict_violation';
  end if;
  return new;
end
$$;
create trigger stands before insert on finding for each row execute function check_finding();
