# SPDX-License-Identifier: Apache-2.0
"""What several files of tests share, made once."""

from tests.helpers.fleet import fleet_place  # noqa: F401
from tests.helpers.node_fixtures import bundle, domain, image, ontology  # noqa: F401
from tests.helpers.refusals import engine, portable, refused  # noqa: F401
from tests.helpers.torch_tensorrt import converter  # noqa: F401
