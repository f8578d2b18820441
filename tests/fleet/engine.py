"""An engine that carries a fleet in this process: boards that die, differ or fail when a test says so."""

from __future__ import annotations

import time
from dataclasses import replace

from powertrain.errors import DeviceError
from powertrain.fleet import Died, Happened, facts, measured, planned

SPEC = "sim:orin-nano?off=settling&seed={}"


class HereEngine:
    """Boards of this process, which measure one mode after the other, in turn.

    `dies` says after how many profiles a board dies, `fails` after how many it raises an error.
    """

    def __init__(self, boards, *, dies=None, fails=None, specs=None, clocks_off_s=None, comes=None):
        self.there, self.dies, self.fails = list(boards), dict(dies or {}), dict(fails or {})
        self.specs, self.clocks_off_s = specs or {}, clocks_off_s or {}
        self.comes = dict(comes or {})
        self.running, self.given, self.orders, self.cancelled = {}, {}, [], 0

    def spec(self, board):
        return self.specs.get(board, SPEC.format(sum(map(ord, board))))

    def boards(self):
        return list(self.there)

    def facts(self, boards):
        answers = {}
        for board in boards:
            try:
                told = facts(self.spec(board))
            except Exception as error:
                answers[board] = error
            else:
                answers[board] = replace(told, time_s=told.time_s + self.clocks_off_s.get(board, 0.0))
        return answers

    def planned(self, board, work, draw):
        return planned(self.spec(board), work, draw)

    def submit(self, board, order):
        self.orders.append((board, order))
        self.running[board] = measured(self.spec(board), order)

    def wait(self, timeout_s):
        if not self.running:
            time.sleep(min(timeout_s, 0.01))
        return [self._next(board) for board in list(self.running)]

    def _next(self, board):
        count = self.given.get(board, 0)
        if self.dies.get(board) == count:
            self.running.pop(board).close()
            self.there.remove(board)
            return Happened(board=board, error=Died("a test"))
        if self.fails.get(board) == count:
            self.running.pop(board).close()
            return Happened(board=board, error=DeviceError("its sensor fails"))
        try:
            profile = next(self.running[board])
        except StopIteration:
            del self.running[board]
            return Happened(board=board)
        except Exception as error:
            del self.running[board]
            return Happened(board=board, error=error)
        self.given[board] = count + 1
        total = sum(self.given.values())
        self.there += [new for new, at in self.comes.items() if at == total]
        return Happened(board=board, profile=profile)

    def drop(self, board):
        self.running.pop(board).close()

    def cancel(self):
        self.cancelled += 1
        for running in self.running.values():
            running.close()
        self.running.clear()
        return []
