-- The certificates issued for any of several keys, or to any of several idempotency keys: 0008 for certificates that are issued
-- in one transaction. 0008 stays for a CA of the package before this.
create function earlier_certificates(locks bigint[], keys bytea[], idempotency bytea[]) returns setof certificate
  language plpgsql volatile as $$
begin
  for i in 1 .. array_length(locks, 1) loop
    perform pg_advisory_xact_lock(locks[i]);
  end loop;
  return query select * from certificate where spki_sha256 = any (keys);
  if array_length(idempotency, 1) > 0 then
    return query select * from certificate where idempotency_sha256 = any (idempotency) and spki_sha256 <> all (keys);
  end if;
end
$$;
