-- What an OCSP node needs to answer, and all that leaves the core zone: no name, no personal data (CP-9.3).
-- `issuer` is the authority's name in the inventory; `serial` is the certificate's serial number as an unsigned big-endian
-- integer without leading zero octets; `reason` is a CRLReason (RFC 5280 section 5.3.1), null while not revoked.
create table status (
  issuer text not null,
  serial bytea not null,
  not_after timestamptz not null,
  revoked_at timestamptz,
  reason smallint,
  primary key (issuer, serial),
  constraint revoked_with_reason check ((revoked_at is null) = (reason is null)),
  constraint lasting_reason check (reason in (0, 1, 2, 3, 4, 5, 9, 10))
);

-- CRLs read this index; few certificates are revoked, so it stays small.
create index status_revoked on status (issuer, revoked_at) where revoked_at is not null;
