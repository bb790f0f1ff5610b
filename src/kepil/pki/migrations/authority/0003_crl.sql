-- Every CRL issued, complete (`base_number` null) or delta. One sequence of numbers an issuer (RFC 5280 section 5.2.3).
-- `this_update` keeps the microseconds that the CRL itself cannot carry: it is the instant up to which revocations are listed.
create table crl (
  issuer text not null,
  number bigint not null check (number > 0),
  base_number bigint check (base_number < number),
  this_update timestamptz not null,
  next_update timestamptz not null check (next_update > this_update),
  der bytea not null,
  primary key (issuer, number),
  foreign key (issuer, base_number) references crl (issuer, number)
);
