-- What was issued or journalled is never changed or deleted (CP-2.4, CP-5.4); a status may change once, to revoked.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % are never changed or deleted', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger immutable before update or delete or truncate on certificate execute function refuse_change();
create trigger immutable before update or delete or truncate on crl execute function refuse_change();
create trigger immutable before update or delete or truncate on journal execute function refuse_change();
create trigger undeletable before delete or truncate on status execute function refuse_change();
create trigger revoked_for_good before update on status for each row when (old.revoked_at is not null)
  execute function refuse_change();
