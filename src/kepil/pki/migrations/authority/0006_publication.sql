-- OCSP nodes subscribe to this (PostgreSQL logical replication) and answer from their own copy.
create publication status for table status;
