-- The certificates issued for a key, or to an idempotency key, in one round trip. The locks are taken in the order given, lest
-- two transactions wait for each other. What is found was committed before the last of them was had: in a volatile function
-- each statement sees what its own beginning sees.
create function earlier_certificates(locks bigint[], key bytea, idempotency bytea) returns setof certificate
  language plpgsql volatile as $$
begin
  for i in 1 .. array_length(locks, 1) loop
    perform pg_advisory_xact_lock(locks[i]);
  end loop;
  return query select * from certificate where spki_sha256 = key;
  if idempotency is not null then
    return query select * from certificate where idempotency_sha256 = idempotency and spki_sha256 <> key;
  end if;
end
$$;
