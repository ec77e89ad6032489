"""What may be done to a pod: stop it, start it again on its host, restart it, end it."""

from __future__ import annotations

from app.sandbox.clouds import Call, Cloud
from app.sandbox.hosts import HostBehaviour
from app.sandbox.machines import Stage
from app.sandbox.runpod.market import Shelf
from app.sandbox.runpod.ordering import take
from app.sandbox.runpod.pods import Pod, actions, pod_status
from app.sandbox.runpod.problems import NO_FREE_GPUS, no_capacity, problem


class Lifecycle:
    """The actions. Each checks that the pod's status allows it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._fleet = cloud.world.fleet

    def act(self, pod: Pod, action: str, call: Call, *, shelf: Shelf) -> None:
        """Do what is asked for.

        Raises:
            Refusal: 409 where the status does not allow it, 400 where a start finds no free GPUs on the host.
        """
        status = pod_status(pod, at=call.at)
        if action not in actions(status):
            raise problem(409, f"action '{action}' is not valid for a pod in status {status}")
        match action:
            case "stop":
                self._stop(pod, call)
            case "start":
                self._start(pod, call, shelf)
            case "restart":
                self._fleet.reboot(pod, at=call.at)
            case _:
                self.end(pod, call)

    def end(self, pod: Pod, call: Call) -> None:
        """Terminate a pod, unless that fails: with an error, or behind a success."""
        fault = self._cloud.strikes("delete_fails", call)
        if fault is None:
            self._fleet.terminate(pod, at=call.at)
        elif fault.mode != "lies":
            raise self._cloud.refusal("server_error", status=fault.status)

    def _stop(self, pod: Pod, call: Call) -> None:
        """Stop: the GPUs are free for others, storage costs what a stopped pod's does."""
        if pod.locked:
            raise problem(409, "the pod is locked")
        self._fleet.stop(pod, at=call.at)
        pod.release()
        pod.charge("disk", pod.storage_micros_per_hour(stopped=True), at=call.at)

    def _start(self, pod: Pod, call: Call, shelf: Shelf) -> None:
        """Start on the old host if its GPUs are free; a ``wrong_gpu`` strikes by a start without any."""
        trouble = self._cloud.strikes_offer(call)
        if trouble == "offer_drained":
            shelf.free = 0
        stays = pod.stage is Stage.FAILED and pod.holds_gpus
        if not stays and (shelf.free < pod.gpu.count or trouble in {"offer_gone", "offer_drained"}):
            raise no_capacity(NO_FREE_GPUS)
        if self._cloud.strikes("wrong_gpu", call):
            pod.gpus, pod.behaviour = 0, HostBehaviour(runs_nvidia_smi=False)
        elif not stays:
            take(pod, shelf)
        pod.charge("disk", pod.storage_micros_per_hour(stopped=False), at=call.at)
        pod.charge("gpu", pod.price_micros_per_hour, at=call.at)
        self._fleet.boot(pod, at=call.at)
