"""From the ``adapter`` argument of a config to adapters."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from ..registry import ADAPTERS
from .adapter import Adapter

if TYPE_CHECKING:
    from ..backbones import Trunk

AdapterConfig = str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | None


def build_adapters(config: AdapterConfig, trunk: Trunk, last: int, patches_reach: int) -> nn.ModuleDict:
    """Build adapters, unattached.

    Args:
        config: A name, ``dict(type=NAME, **options)``, a list of these, or None.
        trunk: The trunk that they will be attached to.
        last: The last block that runs.
        patches_reach: The last block after which a change of the patches alone reaches an output.

    Returns:
        The adapters by short name, in the order of ``config``.

    Raises:
        ValueError: Unknown or repeated names, unknown options, layers that cannot influence any output, or adapters
            that cannot be combined.
    """
    configs = [] if config is None else [config] if isinstance(config, str | Mapping) else list(config)
    adapters = nn.ModuleDict()
    for one in configs:
        options = {'type': one} if isinstance(one, str) else dict(one)
        adapter_class = _find(options.pop('type', None))
        _check_options(adapter_class, options)
        if adapter_class.name in adapters:
            raise ValueError(f'adapter has {adapter_class.name} twice, expected each adapter once')
        reach = patches_reach if adapter_class.patches_only else last
        adapters[adapter_class.name] = adapter_class(trunk, reach, **options)
    inside = [name for name, adapter in adapters.items() if adapter.works_inside]
    if inside and any(adapter.guidance for adapter in adapters.values()):
        raise ValueError(
            f'guidance=dict(layer=…) reads the untouched trunk, and {", ".join(inside)} changes it: '
            "use guidance='inline'"
        )
    return adapters


def adapter_names() -> list[str]:
    """The short names of all registered adapters."""
    ADAPTERS.get('daga')  # makes the registry import its locations
    return sorted({adapter_class.name for adapter_class in ADAPTERS.module_dict.values()})


def _find(name: Any) -> type[Adapter]:
    found = ADAPTERS.get(name) if isinstance(name, str) else None
    if found is None:
        close = difflib.get_close_matches(str(name), adapter_names(), n=1)
        raise ValueError(
            f'unknown adapter {name!r}, expected {", ".join(adapter_names())}, or None for the frozen trunk'
            + (f'. Did you mean {close[0]}?' if close else '')
        )
    return found


def _check_options(adapter_class: type[Adapter], options: Mapping[str, Any]) -> None:
    known = _options(adapter_class)
    for option in options:
        if option in known:
            continue
        owners = sorted({c.__name__ for c in ADAPTERS.module_dict.values() if option in _options(c)})
        close = difflib.get_close_matches(option, known, n=1)
        raise ValueError(
            f'{adapter_class.__name__} has no option {option!r}'
            + (f', which is one of {", ".join(owners)}' if owners else f'; did you mean {close[0]!r}?' if close else '')
            + f'. It takes {", ".join(known)}'
        )


def _options(adapter_class: type[Adapter]) -> list[str]:
    return [name for name in inspect.signature(adapter_class).parameters if name not in ('trunk', 'last')]
