#!/usr/bin/python3
"""The hostile initiator: random and extreme commands, aborts, resets and dropped sessions on one LUN, for a time.

Runs on the host's side, so that the guest's only processor is left to the target. Writes DIRECTORY/storm.json, its account,
and DIRECTORY/journal, one line per thing sent. All that is sent comes from SEED; when it is sent depends on the answers.
"""

import argparse
import collections
import json
import pathlib
import queue
import random
import select
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True

import commands
import kernel
import pdu
from machine import Machine
from session import SEGMENT_OUT, Lost, Session

#: Initiator ports; few and always the same, so that a session that comes back is the nexus that it was.
PORTS = 3
#: Commands of one session under way.
DEPTH = 24
#: What happens beside commands, times per second.
EVENTS = {"abort": 3, "abort set": 0.1, "clear set": 0.1, "reset": 0.25, "drop": 0.2, "small flood": 0.03, "burst": 0.07, "tidy": 0.3}
#: Task management requests without an answer: an initiator's error handling sends one after the other.
#: And how many resets a small flood has.
FUNCTIONS, SMALL_FLOOD = 1, 300
#: Seconds until a session is given up for want of an answer; that a login may take.
ANSWER_LIMIT, LOGIN_LIMIT = 60, 30
#: Seconds until the LUN must be as good as new when the storm is over.
RECOVERY_LIMIT = 180


def _worth_another(ended):
    """BUSY, TASK SET FULL, RESERVATION CONFLICT, TASK ABORTED, NOT READY and UNIT ATTENTION pass; so does the end by a reset."""
    return ended.status in (None, 0x08, 0x18, 0x28, 0x40) or (ended.status == 2 and ended.sense and ended.sense[0] in (2, 6))


class Storm:
    """Keeps the sessions at work and counts what comes of it."""

    def __init__(self, options, journal):
        self.options = options
        self.random = random.Random(options.seed)
        self.journal = journal
        self.began = time.monotonic()
        self.sessions = {}
        #: Ports that log in, and what came of it: (port, session or None, seconds or error).
        self.coming = {}
        self.arrived = queue.SimpleQueue()
        self.over = False
        self.sent = collections.Counter()
        self.statuses = collections.Counter()
        self.longest = {}
        self.problems = []
        self.machine = Machine()
        self.unit = None
        self.restoring = []

    # --- sessions -----------------------------------------------------------------------------------

    def connect(self, port, leave=None):
        """Logs in as that port, on a thread of its own: the others go on while the target takes down what was there."""
        self.sessions.pop(port, None)
        thread = threading.Thread(target=self._log_in, args=(port, leave), daemon=True)
        self.coming[port] = thread
        thread.start()

    def _log_in(self, port, leave):
        if leave:
            leave()
        begin = time.monotonic()
        while not self.over:
            try:
                self.arrived.put((port, Session(
                    self.options.address, self.options.target, f"iqn.2026-01.com.example:hostile{port}", port, self.options.lun),
                    time.monotonic() - begin))
                return
            except (Lost, OSError) as error:
                if time.monotonic() - begin > LOGIN_LIMIT:
                    self.arrived.put((port, None, error))
                    return
                time.sleep(0.2)

    def welcome(self):
        """Takes in the sessions that have come back."""
        while not self.arrived.empty():
            port, session, took = self.arrived.get()
            del self.coming[port]
            if session:
                self.sessions[port] = session
                self.longest["LOGIN"] = max(self.longest.get("LOGIN", 0), took)
            else:
                self.problem(f"no login in {LOGIN_LIMIT} s: {took}")
                self.connect(port)

    def all_there(self):
        """Returns when every session is, or `Lost`."""
        end = time.monotonic() + 2 * LOGIN_LIMIT
        while self.coming:
            if time.monotonic() > end:
                raise Lost("a session does not come back")
            self.wait(0.05)

    def say(self, *words):
        self.journal.write(f"{time.monotonic() - self.began:9.3f} " + " ".join(str(word) for word in words) + "\n")

    def ask(self, command, seconds=30, retries=8):
        """One command on the first session and its end, by itself; unit attentions and BUSY are asked again."""
        for _ in range(retries):
            self.all_there()
            session = self.sessions[0]
            task = session.submit(command)
            end = time.monotonic() + seconds
            found = None
            while found is None and time.monotonic() < end:
                self.wait(0.05, lambda ended: ended.task is task, found_one := [])
                found = found_one[0] if found_one else None
            if found is None:
                raise TimeoutError(f"{command.title}: no answer in {seconds} s")
            if found.status == 0:
                return found
            if not _worth_another(found):
                break
            time.sleep(0.2)
        raise ValueError(f"{command.title}: status {found.status}, sense {found.sense}")

    # --- one turn -----------------------------------------------------------------------------------

    def wait(self, seconds, wanted=None, found=None):
        """Takes in answers for so long at most."""
        self.welcome()
        if not self.sessions:
            time.sleep(seconds)
            return
        ready = select.select(list(self.sessions.values()), [one for one in self.sessions.values() if one.backlog], [], seconds)
        for port, session in list(self.sessions.items()):
            try:
                session.acknowledge()
                if session not in ready[0] and session not in ready[1]:
                    continue
                session.flush()
                for ended in session.turn():
                    self.count(ended)
                    if wanted and wanted(ended):
                        found.append(ended)
            except Lost as lost:
                # LIO closes a session for what it takes for a breach of the protocol; that is the kernel's to judge.
                self.sent["sessions closed by the target"] += 1
                self.say(port, "lost", lost)
                self.connect(port)

    def count(self, ended):
        title = ended.task.command.title.removesuffix(", spoiled")
        sense = "/%x,%02x%02x" % ended.sense if ended.sense else ""
        self.statuses["ended by management" if ended.status is None else f"{ended.status:02x}h{sense}"] += 1
        self.longest[title] = max(self.longest.get(title, 0), ended.at - ended.task.began)

    def overdue(self):
        """A session with something that had no answer for too long is dropped, as an initiator does at last. Whose fault it was is told by
        the login that follows: LIO lets nobody in again while a command of the old session is with the daemon."""
        now = time.monotonic()
        for port, session in list(self.sessions.items()):
            old = [task.command.title for task in session.tasks.values() if now - task.began > ANSWER_LIMIT]
            old += [f"task management function {function}" for function, _, began in session.functions.values() if now - began > ANSWER_LIMIT]
            if old:
                self.say(port, "given up", ", ".join(old[:5]))
                self.sent["sessions given up"] += 1
                self.connect(port, lambda session=session: session.drop("rst"))

    def problem(self, text):
        self.say("problem", text)
        print(f"hostile: {text}", flush=True)
        if len(self.problems) < 50:
            self.problems.append(text)

    def send(self, port, command):
        session = self.sessions.get(port)
        if session is None or not session.room or len(session.tasks) >= DEPTH or session.backlog > 4 << 20:
            return False
        if kernel.manages(self.sessions) and command.writes and command.expected > SEGMENT_OUT:
            self.sent["put off for the kernel's sake"] += 1
            return False
        session.submit(command)
        self.sent[command.title] += 1
        self.say(port, "command", command.cdb.hex(), "reads" if command.reads else "writes" if command.writes else "-",
                 command.expected, command.attribute, command.title)
        return True

    def flood(self, count, rate):
        """LUN RESETs and nothing else."""
        self.say("flood", count)
        port, sent, began = self.random.randrange(PORTS), 0, time.monotonic()
        while sent < count:
            session = self.sessions.get(port)
            if session is None or self.is_delicate():
                self.wait(0.01)
                self.overdue()
                continue
            room = FUNCTIONS - sum(len(one.functions) for one in self.sessions.values())
            allowed = int((time.monotonic() - began) * rate) - sent + 1
            try:
                for _ in range(max(0, min(room, allowed, count - sent))):
                    session.manage(pdu.LUN_RESET)
                    sent += 1
            except Lost:
                self.connect(port)
            self.wait(0.01)
            self.overdue()
        self.sent["resets in floods"] += sent

    def is_delicate(self):
        return kernel.is_delicate(self.sessions, self.coming)

    def event(self, name):
        port = self.random.randrange(PORTS)
        session = self.sessions.get(port)
        if session is None:
            return
        if kernel.would_hang(name, self.sessions, self.coming):
            self.sent["put off for the kernel's sake"] += 1
            return
        self.say(port, name)
        self.sent[name] += 1
        if name == "abort":
            tasks = [task for task in session.tasks.values() if not task.aborting]
            if tasks:
                session.manage(pdu.ABORT_TASK, self.random.choice(tasks))
        elif name == "abort set":
            session.manage(pdu.ABORT_TASK_SET)
        elif name == "clear set":
            session.manage(pdu.CLEAR_TASK_SET)
        elif name == "reset":
            session.manage(pdu.LUN_RESET)
        elif name == "drop":
            how = self.random.choice(["fin", "rst", "torn", "logout"])
            self.connect(port, session.logout if how == "logout" else lambda session=session: session.drop(how))
        elif name == "small flood":
            self.flood(SMALL_FLOOD, self.options.flood_rate)
        elif name == "burst":
            # All that is long, at once.
            kinds = [self.generator.write_same_all, self.generator.verify_all, self.generator.unmap_full, self.generator.copy, self.generator.prefetch]
            for _ in range(PORTS * 4):
                self.send(self.random.randrange(PORTS), self.random.choice(kinds)())
        elif name == "tidy":
            # Or a reservation and a protected medium would be all that is left to test.
            for command in (*commands.register_and_clear(), *self.restoring):
                self.send(port, command)

    # --- the whole ----------------------------------------------------------------------------------

    def learn(self):
        """What the unit says of itself."""
        capacity = self.ask(commands.read_capacity()).data
        last, block = struct.unpack_from(">QI", capacity)
        limits = self.ask(commands.inquiry(0xB0)).data.ljust(64, b"\0")
        pages = self.ask(commands.inquiry(0x83)).data
        designator, at = b"", 4
        while at + 4 <= len(pages):
            if pages[at + 1] & 0x3F == 3 and pages[at + 3] in (8, 16) and not designator:
                designator = pages[at + 4:at + 4 + pages[at + 3]]
            at += 4 + pages[at + 3]
        self.restoring = [commands.as_it_was(self.ask(commands.mode_pages(code)).data) for code in (0x08, 0x0A)] if not self.options.gentle else []
        words = struct.unpack_from(">IIIII", limits, 8)
        return commands.Unit(
            blocks=last + 1, block=block, compare_and_write=limits[5], maximum_transfer=words[0] or 128, unmap_blocks=words[3],
            unmap_descriptors=words[4], write_same=struct.unpack_from(">Q", limits, 36)[0] or 0xFFFFFFFF,
            atomic=struct.unpack_from(">I", limits, 44)[0], designator=designator)

    def run(self):
        """The storm, then the calm after it."""
        for port in range(PORTS):
            self.connect(port)
        self.all_there()
        self.unit = self.learn()
        self.generator = commands.Generator(self.random, self.unit, self.options.gentle)
        begin = last = time.monotonic()
        end, due = begin + self.options.seconds, 0.0
        flood_at = begin + self.options.seconds / 4 if self.options.flood else end
        while time.monotonic() < end:
            now = time.monotonic()
            due = min(due + (now - last) * self.options.rate, 20)
            for name, rate in EVENTS.items() if not self.options.gentle else ():
                if self.random.random() < rate * (now - last):
                    self.guarded(self.event, name)
            while due >= 1:
                self.guarded(self.send, self.random.randrange(PORTS), self.generator.next())
                due -= 1
            if now >= flood_at:
                flood_at = end
                self.quiet(60)
                self.flood(self.options.flood, self.options.flood_rate)
            last = now
            self.wait(0.01)
            self.overdue()
            self.machine.look()

    def guarded(self, action, *words):
        """Does it; sessions whose socket turns out to be gone log in again."""
        try:
            action(*words)
        except Lost as lost:
            self.say("lost", lost)
            for port, session in list(self.sessions.items()):
                try:
                    session.flush()
                except Lost:
                    self.sent["sessions closed by the target"] += 1
                    self.connect(port)

    def quiet(self, seconds):
        """Until nothing is under way."""
        end = time.monotonic() + seconds
        while any(session.tasks or session.functions for session in self.sessions.values()) and time.monotonic() < end:
            self.wait(0.05)
            self.overdue()

    def recover(self):
        """The LUN must be as good as new: nothing under way, ready, readable and writable, and no session left."""
        began = time.monotonic()
        self.quiet(RECOVERY_LIMIT)
        left = [task.command.title for session in self.sessions.values() for task in session.tasks.values()]
        if left:
            self.problem(f"{len(left)} commands without an answer {RECOVERY_LIMIT} s after the storm: {', '.join(left[:5])}")
        # Takes a reservation of SPC-2 away, with which nobody may even register.
        self.all_there()
        self.sessions[0].manage(pdu.LUN_RESET)
        self.quiet(RECOVERY_LIMIT)
        steps = [*commands.register_and_clear(), *self.restoring,
                 commands.writing("WRITE", commands.cdb16(0x8A, 0, 0, 8), bytes(8 * self.unit.block)),
                 commands.reading("READ", commands.cdb16(0x88, 0, 0, 8), 8 * self.unit.block),
                 commands.nothing("SYNCHRONIZE CACHE", commands.cdb16(0x91, 0, 0, 0)),
                 commands.nothing("TEST UNIT READY", bytes(6))]
        for step in steps:
            try:
                # An erasure of the whole medium may still be at work: NOT READY until it has ended.
                self.ask(step, retries=RECOVERY_LIMIT * 4)
            except (TimeoutError, ValueError) as error:
                self.problem(f"after the storm, {error}")
        self.all_there()
        self.over = True
        for session in self.sessions.values():
            session.logout()
        return time.monotonic() - began


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="10.77.0.1:3260")
    parser.add_argument("--target", required=True)
    parser.add_argument("--lun", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=60, help="commands per second")
    parser.add_argument("--flood", type=int, default=0, help="LUN RESETs of the one long flood")
    parser.add_argument("--flood-rate", type=float, default=400, help="LUN RESETs per second in floods")
    parser.add_argument("--gentle", action="store_true", help="commands alone, those that the kernel's own backstores survive")
    parser.add_argument("directory", type=pathlib.Path)
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    options.address = (host, int(port))
    return options


def main():
    options = _arguments()
    options.directory.mkdir(parents=True, exist_ok=True)
    with open(options.directory / "journal", "w", buffering=1) as journal:
        storm = Storm(options, journal)
        account = {"seed": options.seed, "seconds": options.seconds, "rate": options.rate, "flood": options.flood}
        print(f"hostile: seed {options.seed}", flush=True)
        try:
            storm.run()
            account["recovery"] = storm.recover()
            account["ended"] = True
        except (Lost, TimeoutError, ValueError, OSError) as error:
            storm.problem(f"the storm cannot go on: {error}")
    account.update(
        sent=dict(storm.sent), statuses=dict(storm.statuses), problems=storm.problems, machine=storm.machine.seen,
        longest={title: round(seconds, 2) for title, seconds in storm.longest.items()})
    temporary = options.directory / "storm.json~"
    temporary.write_text(json.dumps(account, indent=1))
    temporary.rename(options.directory / "storm.json")
    return 1 if storm.problems else 0


if __name__ == "__main__":
    sys.exit(main())
