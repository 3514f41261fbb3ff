"""The table of all operators.

Adding one takes a function with the decorator, a line in the tuple of its module, and its mutant in
tests/data/mutate.
"""

from __future__ import annotations

from toolkit.core.model.mutation import BY_HAND
from toolkit.mutate.operators import conditions, flow, statements, values
from toolkit.mutate.operators.edit import Operator

OPERATORS: tuple[Operator, ...] = (
    *conditions.OPERATORS,
    *statements.OPERATORS,
    *flow.OPERATORS,
    *values.OPERATORS,
)
MEANINGS = {each.name: each.meaning for each in OPERATORS} | {
    BY_HAND: "a fault that somebody wrote as a patch"
}
