"""Images and volumes, where containers have a say."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from containerlib.engine.instance import Memo
from containerlib.engine.volume_use import users_of
from containerlib.errors import Conflict, NotFound

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.images import ImagesPruned
    from containerlib.images.content.pruning import PrunePolicy
    from containerlib.images.content.verify import VerifyReport
    from containerlib.spec.auth import Auth, Credentials

__all__ = ["prune_images", "remove_anonymous", "remove_image", "remove_volume", "verify_images"]


def remove_image(core: Core, name_or_id: str) -> None:
    """Takes the name away; with the last name, or by id, the image itself.

    Raises: NotFound; Conflict where the image would go and a container was made from it.
    """

    core.images.remove(name_or_id, in_use=partial(_users, core))


def prune_images(core: Core, policy: PrunePolicy) -> ImagesPruned:
    """Removes the images that `policy` names and no container was made from."""
    return core.images.discard(policy, in_use=partial(_is_used, core))


def verify_images(
    core: Core, *, repair: bool, auth: Auth | Credentials | None, foreign_layers: bool
) -> VerifyReport:
    """Every blob and snapshot, and what of them can be repaired without a container's losing its files."""
    return core.images.verify(
        repair=repair, auth=auth, foreign_layers=foreign_layers, in_use=partial(_is_used, core)
    )


def _is_used(core: Core, image_id: str) -> bool:
    return bool(_users(core, image_id))


def _users(core: Core, image_id: str) -> list[str]:
    """The names of the containers that were made from the image or mount it."""
    records = core.store.containers.list()
    return [r.name for r in records if image_id in (r.image_id, *_mounted(r.options_json))]


def _mounted(memo: str) -> list[str]:
    """Images that a container mounts; most have none, and their memo is not read."""
    return [image for _, image, _ in Memo.from_json(memo).images] if '"images"' in memo else []


def remove_anonymous(instance: Instance) -> None:
    """Removes the volumes that were made for the container, but for those that others have by now."""
    for name in instance.memo.anonymous:
        with contextlib.suppress(NotFound, Conflict):
            remove_volume(instance.core, name)


def remove_volume(core: Core, name: str) -> None:
    """Removes the volume and what is in it.

    Raises: NotFound; Conflict where a container mounts it.
    """
    core.volumes.remove(name, in_use=partial(users_of, core))
