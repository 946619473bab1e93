# SPDX-License-Identifier: Apache-2.0
"""What the files of this folder share: a bundle, a DDS domain, a picture, and the node that maps it."""

from tests.helpers.node_fixtures import bundle, domain, image, maps, ontology  # noqa: F401
