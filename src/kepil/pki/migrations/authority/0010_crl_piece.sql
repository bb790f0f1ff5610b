-- A CRL's octets lie in pieces of a megabyte, so that neither who makes it nor who publishes it has it whole in memory. They are
-- not compressed: serial numbers at random do not shrink. A CA of the package before this cannot record a CRL from here on; its
-- timer tries again with the new package.
create table crl_piece (
  issuer text not null,
  number bigint not null,
  piece integer not null check (piece >= 0),
  octets bytea not null,
  primary key (issuer, number, piece),
  foreign key (issuer, number) references crl (issuer, number)
);
alter table crl_piece alter column octets set storage external;

insert into crl_piece (issuer, number, piece, octets) select issuer, number, 0, der from crl;
alter table crl drop column der;

create trigger immutable before update or delete or truncate on crl_piece execute function refuse_change();
