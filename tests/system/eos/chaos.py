"""Bad luck for three instances: killed, stopped, leaving, joining, at random and under load."""

import collections
import random
import signal
import time

SLOTS = 3
# A session is 3 s: some come back before anybody has noticed, some long after.
STOPPED_S = (0.5, 2, 3.2, 4, 6)


class Chaos:
    def __init__(self, arena, seed, static=False, mean_gap_s=1.2, **options):
        self.arena, self.static, self.mean_gap_s, self.options = arena, static, mean_gap_s, options
        self.random = random.Random(seed)
        self.running, self.wakes = {}, {}  # by slot: the instance; when a stopped one goes on
        self.events = collections.Counter()

    def _join(self, slot):
        # A static member comes back under its name, so the group gives it what it had.
        own = {"instance_id": f"slot-{slot}"} if self.static else {}
        self.running[slot] = self.arena.start(f"s{slot}", **own, **self.options)

    def _wake(self, slot):
        self.running[slot].signal(signal.SIGCONT)
        del self.wakes[slot]

    def _pass_time(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for slot in [s for s, when in self.wakes.items() if when <= time.monotonic()]:
                self._wake(slot)
            time.sleep(min(left, 0.02))

    def _bury(self):
        """A static member that was stopped and comes back in the middle of a rebalance may meet its own new member id: it is shut
        out for good and ends, as the bridge does, and a supervisor would start it again. Nothing else may end by itself."""
        for slot, instance in list(self.running.items()):
            if self.static and instance.was_shut_out():
                del self.running[slot]
                self.wakes.pop(slot, None)
                self.events["shut out"] += 1

    def _event(self):
        self._bury()
        awake = [slot for slot in self.running if slot not in self.wakes]
        free = [slot for slot in range(SLOTS) if slot not in self.running]
        kind = self.random.choice(("kill", "kill", "stop", "stop", "stop", "leave", "join", "join"))
        if kind == "join" or not awake:
            if not free:
                return
            kind = "join"
            self._join(self.random.choice(free))
        else:
            slot = self.random.choice(awake)
            instance = self.running[slot]
            if kind == "stop":
                instance.signal(signal.SIGSTOP)
                self.wakes[slot] = time.monotonic() + self.random.choice(STOPPED_S)
            elif kind == "kill":
                instance.kill()
                del self.running[slot]
            else:
                if not (self.static and instance.was_shut_out()):
                    instance.stop(30)
                del self.running[slot]
        self.events[kind] += 1

    def run(self, n_events):
        """Ends with three instances that have all their partitions and go on; then they are stopped."""
        for slot in range(SLOTS):
            self._join(slot)
        for instance in self.running.values():
            instance.await_line("^assigned")
        while sum(self.events.values()) < n_events:
            self._pass_time(self.random.random() * 2 * self.mean_gap_s)
            self._event()
        for slot in list(self.wakes):
            self._wake(slot)
        self._bury()
        for slot in range(SLOTS):
            if slot not in self.running:
                self._join(slot)
        for instance in self.running.values():
            instance.goes_on()
        return [instance.stop() for instance in self.running.values()]
