"""The registration authority (CP-1.3.2): officers enter applications, decide on them, have the CA issue and revoke."""
