"""What is written from the table: the op definition's dtype columns, the support table, CANN's descriptions."""
