"""GPU clouds behind one contract.

``contract`` says what every cloud looks like from inside and what each call promises, ``errors`` what a cloud can answer;
one package per cloud speaks its wire and translates. The room has no tables and knows no tenant: it is called by the
worker alone, never within a transaction. Nothing but a ``ProviderError`` leaves an adapter, whatever the cloud sends.
"""

from app.providers.contract import (
    Capability,
    Connection,
    CostLine,
    Machine,
    MachineStatus,
    Offer,
    Order,
    Provider,
    RealisedCost,
)
from app.providers.errors import (
    Gone,
    NoCapacity,
    NotYet,
    OutcomeUnknown,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from app.providers.hyperstack import HyperstackProvider
from app.providers.lambda_cloud import LambdaProvider
from app.providers.manual import ManualProvider
from app.providers.modal_cloud import ModalProvider
from app.providers.runpod import RunpodProvider
from app.providers.vast import VastProvider
from app.providers.wire import OnCall, WireOptions

__all__ = [
    "Capability",
    "Connection",
    "CostLine",
    "Gone",
    "HyperstackProvider",
    "LambdaProvider",
    "Machine",
    "MachineStatus",
    "ManualProvider",
    "ModalProvider",
    "NoCapacity",
    "NotYet",
    "Offer",
    "OnCall",
    "Order",
    "OutcomeUnknown",
    "Provider",
    "ProviderError",
    "QuotaExceeded",
    "RateLimited",
    "RealisedCost",
    "Rejected",
    "RunpodProvider",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "VastProvider",
    "WireOptions",
]
