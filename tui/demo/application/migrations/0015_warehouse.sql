-- The warehouse reads these by logical replication.

CREATE PUBLICATION deskhand_warehouse FOR TABLE organizations, billing.invoices, billing.invoice_lines;
