"""Every table of every room, so that migrations can be compared with the models."""

from __future__ import annotations

import app.audit.models
import app.catalog.models
import app.costs.models
import app.events.models
import app.kit.leases
import app.ledger.models
import app.lots.models
import app.mail.models
import app.notifications.models
import app.policies.budgets.models
import app.policies.models
import app.policies.requests.models
import app.refills.models
import app.rentals.models
import app.reports.models
import app.tenancy.models
import app.tenancy.people.models
import app.topups.models
import app.wallet.models
import app.web.models  # noqa: F401 - imported for what they register
from app.kit.orm import Base

metadata = Base.metadata

__all__ = ["metadata"]
