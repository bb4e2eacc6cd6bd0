"""What a container is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from containerlib.engine import words, words_names
from containerlib.engine.names import check_name
from containerlib.fluent.recipes.base import Words

__all__ = ["IdentityWords"]


class IdentityWords(Words):
    """Names, labels, and what is written into the files that name others."""

    __slots__ = ()

    def name(self, name: str, /) -> Self:
        """The container's name, one of a kind in this engine. Without it one is made up."""
        return self._with(name=check_name(name))

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> Self:
        """Adds labels; one that is there already is replaced."""
        return self._with(labels=words.merge_pairs(self.options.labels, mapping, labels, field="label"))

    def hostname(self, name: str, /) -> Self:
        """The container's host name. Without it, the first 12 digits of its id."""
        return self._with(hostname=words.hostname(name))

    def domainname(self, name: str, /) -> Self:
        """The container's NIS domain name."""
        return self._with(domainname=words_names.domainname(name))

    def label_file(self, path: str | os.PathLike[str], /) -> Self:
        """Adds a file's labels, `name=value` a line, read when the container is made; `label` counts more."""
        files = self.options.label_files
        return self._with(label_files=(*files, words_names.file_path(path, field="label_file")))

    def annotate(self, mapping: Mapping[str, str] | None = None, /, **annotations: str) -> Self:
        """Adds annotations to its config.json, which hooks and other runtimes read."""
        pairs = words.merge_pairs(self.options.annotations, mapping, annotations, field="annotate")
        return self._with(annotations=pairs)

    def add_host(self, name: str, address: str, /) -> Self:
        """A line of its /etc/hosts; one name may have several addresses."""
        entry = words_names.host_entry(name, address)
        others = tuple(other for other in self.options.hosts if other != entry)
        return self._with(hosts=(*others, entry))

    def dns(self, *servers: str, search: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Self:
        """Its name servers by address, the domains in which it seeks, and options of resolv.conf(5).

        What is not given stays as it was: at first as the host has it. `search=(".",)` is none.
        """
        given = {
            "dns": words_names.servers(servers),
            "dns_search": words_names.search(words.vector(search, field="search")),
            "dns_options": words_names.dns_options(words.vector(options, field="options")),
        }
        return self._with(**{name: value for name, value in given.items() if value})
