"""Requests that go wrong as a test wants it."""

import os
import threading


class Gate:
    """Where requests wait until the test lets them go on."""

    def __init__(self):
        self._mutex = threading.Lock()
        self._opened = os.eventfd(0)
        self._is_open = False
        self._held = 0

    def shut(self):
        with self._mutex:
            if self._is_open:
                self._opened = os.eventfd(0)
                self._is_open = False

    def open(self):
        with self._mutex:
            os.eventfd_write(self._opened, 1)
            self._is_open = True

    def pass_through(self, wire):
        with self._mutex:
            opened = self._opened
            self._held += 1
        try:
            wire.wait(event=opened)
        finally:
            with self._mutex:
                self._held -= 1

    @property
    def held(self):
        with self._mutex:
            return self._held


class Fault:
    def __init__(self, gate, kind, method="", path="", skip=0, times=-1, delay=0.0, size=0,
                 status=500):
        self._gate = gate
        self.kind = kind
        self.method = method
        self.path = path
        self.skip = skip
        self.times = times
        self.delay = delay
        self.size = size
        self.status = status

    @property
    def holds(self):
        return self.kind in ("hold", "hold_upload")

    def fits(self, request):
        return (not self.method or self.method == request.method) and self.path in request.target

    def hold(self, wire):
        self._gate.pass_through(wire)


class Faults:
    def __init__(self):
        self._mutex = threading.Lock()
        self._faults = []
        self._gate = Gate()

    def add(self, **values):
        fault = Fault(self._gate, **values)
        if fault.holds:
            self._gate.shut()
        with self._mutex:
            self._faults.append(fault)

    def clear(self):
        with self._mutex:
            self._faults.clear()

    def take(self, request):
        """The faults that this request suffers, by kind, which count as used then."""
        taken = {}
        with self._mutex:
            for fault in self._faults:
                if not fault.fits(request) or fault.times == 0:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= fault.times > 0
                taken[fault.kind] = fault
        return taken

    def release(self):
        with self._mutex:
            self._faults = [fault for fault in self._faults if not fault.holds]
        self._gate.open()

    @property
    def held(self):
        return self._gate.held
