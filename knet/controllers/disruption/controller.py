"""The loop over budgets: find the pods, ask how many are expected, count the healthy ones, write what is allowed."""

from datetime import UTC, datetime

from knet.api.objects import LabelSelector, Pod
from knet.api.policy import BudgetStatus, PodDisruptionBudget
from knet.api.selectors import from_label_selector
from knet.client import ApiError, Controller, Index, Key, NotFound, Result, key_of
from knet.controllers.context import Context
from knet.controllers.disruption.expected import Owners, expectation, needs_scale
from knet.controllers.disruption.status import counted, disrupted, failed, healthy, status_json

#: seconds between two passes over one budget
REST = 0.01


def build(context: Context) -> Controller:
    reconciler = BudgetReconciler(context)
    controller = Controller("disruption", reconciler, rest=REST)
    reconciler.subscribe(controller)
    return controller


class BudgetReconciler:
    """Keys are budgets."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("controllermanager")
        self._budgets = context.informers.of(PodDisruptionBudget)
        self._pods = context.informers.of(Pod)
        self._budgets_in = Index(self._budgets, lambda row: (row.namespace,))
        self._pods_in = Index(self._pods, lambda pod: (pod.namespace,))
        self._owners = Owners(context)

    def subscribe(self, controller: Controller) -> None:
        def budget_changed(old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
            if new is not None:
                controller.enqueue(key_of(new))

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            if old is not None and new is not None and _concern(old) == _concern(new):
                return
            for key in {key for pod in (old, new) if pod is not None for key in self._covering(pod)}:
                controller.enqueue(key)

        self._budgets.subscribe(budget_changed)
        self._pods.subscribe(pod_changed)

    def _covering(self, pod: Pod) -> list[Key]:
        """The budgets of a pod; more than one are told of."""
        budgets = [
            row
            for row in self._budgets_in.get(pod.namespace)
            if from_label_selector(row.spec.selector).matches(pod.metadata.labels)
        ]
        if len(budgets) > 1:
            text = f'Pod "{pod.namespace}"/"{pod.name}" matches multiple PodDisruptionBudgets.  Chose'
            text += f' "{budgets[0].name}" arbitrarily.'
            self._events.event(pod, "Warning", "MultiplePodDisruptionBudgets", text)
        return [key_of(row) for row in budgets]

    async def reconcile(self, key: Key) -> Result | None:
        budget = self._budgets.get(*key)
        if budget is None:
            return None
        now = datetime.now(UTC)
        selector = from_label_selector(budget.spec.selector)
        pods = [pod for pod in self._pods_in.get(key.namespace) if selector.matches(pod.metadata.labels)]
        try:
            scale, unmanaged = await self._owners.scale(pods) if needs_scale(budget.spec) else (0, [])
        except (LookupError, ApiError) as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._write(budget, failed(budget, str(error), now))
            return None
        found = disrupted(pods, budget.status.disruptedPods, now)
        for pod in found.late:
            text = f"Pod was expected by PDB {key} to be deleted but it wasn't"
            self._events.event(pod, "Warning", "NotDeleted", text)
        expected = expectation(budget.spec, len(pods), scale)
        status = counted(budget, expected, healthy(pods, found.pending), found.pending, now)
        if status != budget.status:
            self._tell(budget, pods, unmanaged)
            await self._write(budget, status)
        return None if found.recheck is None else Result((found.recheck - now).total_seconds())

    def _tell(self, budget: PodDisruptionBudget, pods: list[Pod], unmanaged: list[str]) -> None:
        if not pods:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        if unmanaged:
            text = (
                f"Pods selected by this PodDisruptionBudget (selector: {_go_text(budget.spec.selector)}) were found to"
                " be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in"
                ' undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an'
                " integer value."
            )
            self._events.event(budget, "Warning", "UnmanagedPods", text)

    async def _write(self, budget: PodDisruptionBudget, status: BudgetStatus) -> None:
        if status == budget.status:
            return
        keys = ("name", "namespace", "resourceVersion")
        metadata = {key: getattr(budget.metadata, key) for key in keys}
        body = {"metadata": metadata, "status": status_json(status)}
        try:
            written = await self._client.replace(PodDisruptionBudget, body, budget.namespace, "status")
        except NotFound:
            return
        self._budgets.assume(written)


def _concern(pod: Pod) -> tuple[object, ...]:
    """All of a pod that a budget's pass looks at."""
    return pod.uid, pod.metadata.labels, pod.metadata.ownerReferences, pod.deleting, pod.ready


def _go_text(selector: LabelSelector | None) -> str:
    """A selector as upstream's messages print it."""
    labels = selector.matchLabels if selector is not None else {}
    rows = selector.matchExpressions if selector is not None else ()
    spelled = "".join(f"{key}: {labels[key]}," for key in sorted(labels))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{row.key},Operator:{row.operator},Values:[{' '.join(row.values)}],}},"
        for row in rows
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{spelled}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
