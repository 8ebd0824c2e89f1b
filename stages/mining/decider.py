"""From a miner's word to the decision: over time, without near-duplicates, within the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.budget import Budget
from pipeline.model import Verdict
from stages.mining.audit import NO_AUDIT, Audit
from stages.mining.by_chance import uniform
from stages.mining.duplicates import Duplicates
from stages.mining.memory import Memory
from stages.mining.miner import Miner, View
from stages.mining.spend import paid, spend


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides which frames are hard.

    Attributes:
        miner: by which.
        duplicates: what is not sent again, where that is wanted.
        budgets: what may be spent, by stream.
        seed: of the choice among equal scores.
        audit: the easy frames that are sent as well; they are paid from the budget, whatever is left in it.
    """

    miner: Miner
    duplicates: Duplicates | None = None
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    seed: int = 0
    audit: Audit = NO_AUDIT

    def remembers(self, stream: str) -> bool:
        """Whether a decision in this stream depends on the frames before it."""
        return self.miner.over_time or self.duplicates is not None or stream in self.budgets

    def decide(self, memory: Memory, view: View) -> tuple[Memory, Verdict]:
        """The verdict on a frame, and what is remembered after it. It is a pure function of both.

        Frames come in the order of ``seq``. A near-duplicate has no part in the budget, neither its cost nor its score.
        """
        memory, verdict = self.miner.judge_next(memory, view)
        budget = self.budgets.get(view.stream)
        candidate = verdict.hard or (budget is not None and verdict.score is not None)
        twin = self.duplicates.of(memory.sent, view) if self.duplicates and candidate else None
        if twin is not None:
            reason = f"{verdict.reason}; almost equal to frame {twin}, which was sent"
            verdict = replace(verdict, hard=False, reason=reason, duplicate_of=twin)
            score, threshold = verdict.score, verdict.threshold
            if score is not None and threshold is not None and score >= threshold:
                verdict = replace(verdict, threshold=None)
        if budget is not None:
            spent_on = replace(verdict, score=None) if twin is not None else verdict
            purse, decided = spend(memory.purse, budget, view, spent_on, uniform(self.seed, view.stream, view.seq))
            memory = replace(memory, purse=purse)
            verdict = replace(verdict, budget=decided.budget) if twin is not None else decided
        if self.miner.audited:
            verdict = self.audit.of(verdict, view)
        if verdict.audited and budget is not None and memory.purse is not None:
            purse, state = paid(memory.purse, budget, view)
            memory, verdict = replace(memory, purse=purse), replace(verdict, budget=state)
        if self.duplicates and verdict.sent:
            memory = replace(memory, sent=self.duplicates.with_sent(memory.sent, view))
        return memory, verdict
