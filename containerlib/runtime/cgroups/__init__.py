"""Control groups on v1, v2 and hybrid, made by hand or by systemd: limits, statistics, freezing, the end."""
