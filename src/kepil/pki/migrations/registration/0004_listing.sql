-- Outside a transaction: the index is built while officers work. One that broke off is built again.
-- Auditors list the applications of all branches in one state.
drop index concurrently if exists application_state;
create index concurrently application_state on application (state, number);
