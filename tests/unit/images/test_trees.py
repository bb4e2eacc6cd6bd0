"""What hangs on an index: all of it, each once, and nothing that is not as it was announced."""

from __future__ import annotations

import pytest
from attrs import evolve

from containerlib.errors import InvalidArgument
from containerlib.images.content.trees import read_tree
from containerlib.images.transfer.selection import choose_manifest
from containerlib.spec.digest import Digest
from containerlib.spec.image import Descriptor, Index, Manifest, MediaType
from containerlib.spec.platform import Wanted

CONFIG = Descriptor(MediaType.CONFIG, Digest.of(b"config"), 6)
LAYER = Descriptor(MediaType.LAYER, Digest.of(b"layer"), 5)
FOREIGN = Descriptor(MediaType.LAYER_FOREIGN_GZIP, Digest.of(b"foreign"), 7, urls=("https://a.example/x",))


class Documents:
    """Manifests and indexes by digest, and how often each was read."""

    def __init__(self) -> None:
        self.data: dict[Digest, bytes] = {}
        self.reads: list[Digest] = []

    def add(self, document: Manifest | Index) -> Descriptor:
        descriptor = document.descriptor()
        self.data[descriptor.digest] = document.to_bytes()
        return descriptor

    def read(self, descriptor: Descriptor) -> bytes:
        self.reads.append(descriptor.digest)
        return self.data[descriptor.digest]


@pytest.fixture
def documents() -> Documents:
    return Documents()


def nested(documents: Documents, depth: int) -> Descriptor:
    """A manifest in as many indexes."""
    entry = documents.add(Manifest(CONFIG, (LAYER,)))
    for _ in range(depth):
        entry = documents.add(Index((entry,)))
    return entry


def test_tree_has_what_others_name_before_those_and_each_once(documents: Documents) -> None:
    one = documents.add(Manifest(CONFIG, (LAYER,)))
    other = documents.add(Manifest(CONFIG, (LAYER, FOREIGN)))
    inner = documents.add(Index((one, other)))
    top = documents.add(Index((inner, one)))
    tree = read_tree(top, documents.read)
    assert list(tree.documents) == [one.digest, other.digest, inner.digest, top.digest]
    assert list(tree.blobs.values()) == [CONFIG, LAYER, FOREIGN]
    assert len(documents.reads) == 4
    left = read_tree(top, documents.read, leave=lambda blob: blob.is_foreign)
    assert list(left.blobs.values()) == [CONFIG, LAYER]


def test_tree_of_two_indexes_over_a_manifest_is_read_and_no_deeper(documents: Documents) -> None:
    assert len(read_tree(nested(documents, 2), documents.read).documents) == 3
    with pytest.raises(InvalidArgument, match="indexes in indexes"):
        read_tree(nested(documents, 3), documents.read)


def test_manifest_is_chosen_through_two_indexes_and_no_deeper(documents: Documents) -> None:
    def chosen(depth: int) -> Manifest:
        return choose_manifest(nested(documents, depth), documents.read, Wanted.of(None), "app")[1]

    assert chosen(2).config == CONFIG
    with pytest.raises(InvalidArgument, match="indexes in indexes"):
        chosen(3)


def test_tree_of_too_many_manifests_is_refused_before_it_is_read(documents: Documents) -> None:
    entries = [documents.add(Manifest(CONFIG, (), annotations={"n": str(number)})) for number in range(1001)]
    with pytest.raises(InvalidArgument, match="more than 1000 manifests"):
        read_tree(documents.add(Index(tuple(entries))), documents.read)
    assert len(documents.reads) == 1


def test_tree_of_manifests_too_large_for_memory_is_refused_before_they_are_read(documents: Documents) -> None:
    entries = [
        evolve(documents.add(Manifest(CONFIG, (), annotations={"n": str(i)})), size=4_000_000)
        for i in range(17)
    ]
    with pytest.raises(InvalidArgument, match="manifests have more than"):
        read_tree(documents.add(Index(tuple(entries))), documents.read)
    assert len(documents.reads) == 1


@pytest.mark.parametrize("media_type", [MediaType.INDEX, MediaType.DOCKER_MANIFEST])
def test_document_that_is_not_of_the_type_its_index_says_is_refused(
    documents: Documents, media_type: str
) -> None:
    entry = evolve(documents.add(Manifest(CONFIG, (LAYER,))), media_type=media_type)
    with pytest.raises(InvalidArgument, match="announced as"):
        read_tree(documents.add(Index((entry,))), documents.read)


def test_document_of_another_size_than_its_index_says_is_refused(documents: Documents) -> None:
    entry = documents.add(Manifest(CONFIG, (LAYER,)))
    with pytest.raises(InvalidArgument, match="announced with 1"):
        read_tree(documents.add(Index((evolve(entry, size=1),))), documents.read)


def test_digest_that_two_documents_say_other_things_of_is_refused(documents: Documents) -> None:
    one = documents.add(Manifest(CONFIG, (LAYER,)))
    other = documents.add(Manifest(CONFIG, (evolve(LAYER, size=6),)))
    with pytest.raises(InvalidArgument, match="there twice"):
        read_tree(documents.add(Index((one, other))), documents.read)
    inner = documents.add(Index((evolve(one, media_type=MediaType.INDEX),)))
    with pytest.raises(InvalidArgument, match="there twice"):
        read_tree(documents.add(Index((one, inner))), documents.read)


def test_index_of_manifests_that_are_too_large_together_is_refused(documents: Documents) -> None:
    manifests = [Manifest(CONFIG, (), annotations={"a": f"{number:3000000}"}) for number in range(12)]
    top = documents.add(Index(tuple(documents.add(manifest) for manifest in manifests)))
    with pytest.raises(InvalidArgument, match="more than 33554432 bytes"):
        read_tree(top, documents.read)
