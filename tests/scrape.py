"""Metrics as Prometheus sees them."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families


async def scrape(address: str) -> dict[tuple[str, ...], float]:
    """Return every sample by its name and its labels as "name=value", in order."""
    async with httpx2.AsyncClient() as client:
        text = (await client.get(f"http://{address}/metrics")).text
    return {
        (sample.name, *sorted(map("=".join, sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
