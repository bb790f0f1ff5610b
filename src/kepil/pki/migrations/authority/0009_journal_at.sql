-- Outside a transaction: the index is built while certificates are issued. One that broke off is built again.
-- Auditors ask for the journal of a time. Its rows lie in order of time, so that an index of ranges of pages, of some
-- kilobytes, finds them; it costs an issue nothing that can be measured.
drop index concurrently if exists journal_at;
create index concurrently journal_at on journal using brin (at) with (autosummarize = on);
