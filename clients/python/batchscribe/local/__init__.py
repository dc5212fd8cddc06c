"""Everything on one machine: Valkey, a gateway and transcribers as supervised child processes.

Needs the extra ``local``. It starts the services as programs and imports none of them.
"""
