"""The internet access gateway: who may go where, what is inspected, and until when (GW-2 to GW-20)."""
