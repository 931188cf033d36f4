"""The attacker's two solvers behind one interface; no other module of the auditor imports either."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Protocol

import highspy
import numpy as np
import pyscipopt
from numpy.typing import NDArray
from pyscipopt.scip import PY_SCIP_LPPARAM as LIMIT

from services.auditor.published import Doubt
from services.auditor.system import Numbers, Row

Costs = NDArray[np.float64]
# The search for whole points takes at most so long: nearly always the first corner is one.
WHOLE_POINT_SECONDS = 3.0


class Engine(Protocol):
    """A linear program whose goal can be changed again and again; each answer starts from the last one."""

    name: str

    def least(self, costs: Costs) -> Costs:
        """Return a point of the system at which these costs are least; raise `Doubt` if none was found in time."""
        ...

    def least_whole(self, costs: Costs) -> Costs:
        """Return a point of whole numbers at which these costs are least; raise `Doubt` if none was found in time."""
        ...


class Highs:
    """HiGHS, through highspy."""

    name = f"HiGHS {version('highspy')}"

    def __init__(self, lower: Numbers, upper: Numbers, rows: Sequence[Row], seconds: float) -> None:
        self._model: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        # Primal simplex without presolve: the last answer is still feasible, since only the goal changes.
        options: dict[str, Any] = {"output_flag": False, "threads": 1, "presolve": "off", "solver": "simplex"}
        for option, value in {**options, "simplex_strategy": 4}.items():
            self._model.setOptionValue(option, value)
        self._model.passModel(_highs_program(lower, upper, rows))
        self._columns = np.arange(len(lower), dtype=np.int32)
        self._seconds = seconds

    def least(self, costs: Costs) -> Costs:
        """Return a point at which these costs are least."""
        self._model.changeColsCost(len(costs), self._columns, costs)
        # The time limit counts from the creation of the model.
        self._model.setOptionValue("time_limit", self._model.getRunTime() + self._seconds)
        self._model.run()
        if self._model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise Doubt(f"{self.name} says: {self._model.modelStatusToString(self._model.getModelStatus())}.")
        return np.array(self._model.getSolution().col_value)

    def least_whole(self, costs: Costs) -> Costs:
        """Return a whole point at which these costs are least."""
        kinds = np.full(len(costs), highspy.HighsVarType.kInteger)
        self._model.changeColsIntegrality(len(costs), self._columns, kinds)
        seconds, self._seconds = self._seconds, min(WHOLE_POINT_SECONDS, self._seconds)
        try:
            return self.least(costs)
        finally:
            self._seconds = seconds
            kinds = np.full(len(costs), highspy.HighsVarType.kContinuous)
            self._model.changeColsIntegrality(len(costs), self._columns, kinds)


class Soplex:
    """SoPlex, and SCIP for whole numbers, through pyscipopt."""

    name = f"SoPlex and SCIP, PySCIPOpt {version('pyscipopt')}"

    def __init__(self, lower: Numbers, upper: Numbers, rows: Sequence[Row], seconds: float) -> None:
        self._lower, self._upper, self._rows, self._seconds = lower, upper, rows, seconds
        self._program: Any = pyscipopt.LP()
        self._program.addCols(
            [[] for _ in lower], lbs=[float(bound) for bound in lower], ubs=[float(bound) for bound in upper]
        )
        if rows:
            self._program.addRows(
                [list(zip(row.columns, map(float, row.signs), strict=True)) for row in rows],
                lhss=[float(row.low) for row in rows],
                rhss=[float(row.high) for row in rows],
            )
        self._program.setRealParam(LIMIT.LPTILIM, seconds)
        self._costs = np.zeros(len(lower))

    def least(self, costs: Costs) -> Costs:
        """Return a point at which these costs are least."""
        for column in np.flatnonzero(costs != self._costs):
            self._program.chgObj(int(column), float(costs[column]))
        self._costs = costs.copy()
        # The last answer is still feasible: only the goal changed.
        self._program.solve(dual=False)
        if not self._program.isOptimal():
            raise Doubt(f"{self.name} found no answer.")
        return np.array(self._program.getPrimal())

    def least_whole(self, costs: Costs) -> Costs:
        """Return a whole point at which these costs are least."""
        model: Any = pyscipopt.Model()
        model.hideOutput()
        model.setParam("limits/time", min(WHOLE_POINT_SECONDS, self._seconds))
        bounds = zip(self._lower, self._upper, costs, strict=True)
        columns = [model.addVar(vtype="I", lb=float(low), ub=float(high), obj=float(c)) for low, high, c in bounds]
        for row in self._rows:
            form = pyscipopt.quicksum(
                sign * columns[column] for column, sign in zip(row.columns, row.signs, strict=True)
            )
            model.addCons(row.low <= (form <= row.high))
        model.optimize()
        if model.getStatus() != "optimal":
            raise Doubt(f"{self.name} found no whole answer: {model.getStatus()}.")
        return np.array([model.getVal(column) for column in columns])


ENGINES = (Highs, Soplex)


def _highs_program(lower: Numbers, upper: Numbers, rows: Sequence[Row]) -> Any:
    program: Any = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(lower), len(rows)
    program.col_cost_ = np.zeros(len(lower))
    program.col_lower_, program.col_upper_ = lower.astype(float), upper.astype(float)
    program.row_lower_ = np.array([row.low for row in rows], dtype=float)
    program.row_upper_ = np.array([row.high for row in rows], dtype=float)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.cumsum([0, *(len(row.columns) for row in rows)])
    program.a_matrix_.index_ = np.array([column for row in rows for column in row.columns], dtype=np.int32)
    program.a_matrix_.value_ = np.array([sign for row in rows for sign in row.signs], dtype=float)
    return program
