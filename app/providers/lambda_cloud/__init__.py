"""Lambda: whole instances by type and region, on demand, per minute; no stop, no spot, no books to ask."""

from app.providers.lambda_cloud.adapter import LambdaProvider

__all__ = ["LambdaProvider"]
