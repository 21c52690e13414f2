"""What Linux 6.1's LIO does not survive, and the daemon has no part in: its ring is empty then (guest/iscsi.sh, what_holds_it).

A LUN RESET takes other sessions' management functions away without an answer (core_tmr_drain_tmr_list), and that session is given up in
the end. A session that goes down beside a LUN RESET waits for a command that waits for it, for ever (iscsit_close_connection,
target_put_cmd_and_wait), and no session can log in again. A command that has not had all of its data when a management function ends it
is never asked for the rest, and the function waits for it for ever.
"""

#: Events that send management functions.
MANAGEMENT = {"abort", "abort set", "clear set", "reset", "small flood"}


def manages(sessions):
    """A management function of any session is under way."""
    return any(session.functions for session in sessions.values())


def is_delicate(sessions, coming):
    """A session goes down or comes, or has a command without all of its data."""
    return bool(coming) or any(session.is_sending for session in sessions.values())


def would_hang(name, sessions, coming):
    """Whether the event is put off: a drop beside a management function, and such a function beside what is delicate."""
    if name == "drop":
        return manages(sessions)
    return name in MANAGEMENT and (manages(sessions) or is_delicate(sessions, coming))
