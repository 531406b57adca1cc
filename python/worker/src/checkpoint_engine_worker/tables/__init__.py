"""Copy tables: rows that each describe one copy between two addresses. No torch."""
