-- What CRLs list, encoded once, when it is revoked: a CRL of a million entries then is one sequential read, for rows lie
-- here in the order of revocation, however large `status` grows. kepil.pki.crl.encode_entry is the same in Python, and a
-- test holds both together.

-- DER of a revokedCertificates entry (RFC 5280 section 5.1.2.6): no reason rather than `unspecified` (BR 7.2.2), UTCTime
-- until 2049. All lengths are below 128, so that each is one octet.
create function crl_entry(serial bytea, revoked_at timestamptz, reason smallint) returns bytea
  language plpgsql stable as $$
declare
  entry bytea := case when length(serial) = 0 or get_byte(serial, 0) >= 128 then '\x00' || serial else serial end;
  at timestamp := revoked_at at time zone 'UTC';
begin
  entry := set_byte('\x0200', 1, length(entry)) || entry || case
    when at < '2050-01-01' then '\x170d'::bytea || convert_to(to_char(at, 'YYMMDDHH24MISS"Z"'), 'UTF8')
    else '\x180f'::bytea || convert_to(to_char(at, 'YYYYMMDDHH24MISS"Z"'), 'UTF8') end;
  if reason > 0 then
    entry := entry || set_byte('\x300c300a0603551d1504030a0100', 13, reason);
  end if;
  return set_byte('\x3000', 1, length(entry)) || entry;
end
$$;

create table revocation (
  issuer text not null,
  revoked_at timestamptz not null,
  serial bytea not null,
  not_after timestamptz not null,
  entry bytea not null,
  primary key (issuer, revoked_at, serial)
);

create function record_revocation() returns trigger language plpgsql as $$
begin
  insert into revocation (issuer, revoked_at, serial, not_after, entry)
    values (new.issuer, new.revoked_at, new.serial, new.not_after, crl_entry(new.serial, new.revoked_at, new.reason));
  return null;
end
$$;

create trigger revoked after insert or update on status for each row when (new.revoked_at is not null)
  execute function record_revocation();

insert into revocation (issuer, revoked_at, serial, not_after, entry)
  select issuer, revoked_at, serial, not_after, crl_entry(serial, revoked_at, reason)
    from status where revoked_at is not null order by revoked_at;

create trigger immutable before update or delete or truncate on revocation execute function refuse_change();
