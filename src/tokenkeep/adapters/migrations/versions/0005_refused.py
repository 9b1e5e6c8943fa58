"""Which refresh tokens a provider refused while others are still to be tried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is known of grants in recovery; the version before can go on writing them."""
    op.add_column("grants", sa.Column("refused", sa.Text()))


def downgrade() -> None:
    """Recovery tries all of them again."""
    op.drop_column("grants", "refused")
