"""Requests that go wrong as a test wants it."""

import os
import threading


class Fault:
    def __init__(self, kind, method="", path="", skip=0, times=-1, delay=0.0, size=0, status=500):
        self.kind = kind
        self.method = method
        self.path = path
        self.skip = skip
        self.times = times
        self.delay = delay
        self.size = size
        self.status = status

    def fits(self, request):
        return (not self.method or self.method == request.method) and self.path in request.target


class Faults:
    def __init__(self):
        self._mutex = threading.Lock()
        self._faults = []
        self._held = 0
        self._released = os.eventfd(0)
        self._is_released = False

    def add(self, fault):
        with self._mutex:
            if fault.kind == "hold" and self._is_released:
                self._released = os.eventfd(0)
                self._is_released = False
            self._faults.append(fault)

    def clear(self):
        with self._mutex:
            self._faults.clear()

    def take(self, request):
        """The faults that this request suffers, which count as used then."""
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

    def hold(self, wire):
        with self._mutex:
            released = self._released
            self._held += 1
        try:
            wire.wait(event=released)
        finally:
            with self._mutex:
                self._held -= 1

    def release(self):
        with self._mutex:
            self._faults = [fault for fault in self._faults if fault.kind != "hold"]
            os.eventfd_write(self._released, 1)
            self._is_released = True

    @property
    def held(self):
        with self._mutex:
            return self._held
