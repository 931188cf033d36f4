"""A query is checked against the members that its route reads, whether it lists them one by one or as a model."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.testclient import TestClient

from services.common.http.app import create_app
from services.common.http.query import check_query, query_members


class Page(BaseModel):
    """A page, and how many rows."""

    cursor: str = ""
    most: int = Field(1, alias="page-size")


def app() -> FastAPI:
    made = create_app("Sample", "Sample", [])

    @made.get("/model", dependencies=[Depends(check_query)])
    def by_model(query: Annotated[Page, Query()]) -> int:
        return query.most

    @made.get("/plain", dependencies=[Depends(check_query)])
    def by_name(cursor: str = "", most: Annotated[int, Query(alias="page-size")] = 1) -> int:
        return most

    return made


@pytest.mark.parametrize("path", ["/model", "/plain"])
def test_query_with_known_members_is_read(path: str) -> None:
    made = app()
    [route] = [route for route in made.routes if isinstance(route, APIRoute) and route.path == path]
    assert query_members(route.dependant) == {"cursor", "page-size"}
    with TestClient(made) as client:
        assert client.get(f"{path}?cursor=a&page-size=7").json() == 7


@pytest.mark.parametrize("path", ["/model", "/plain"])
@pytest.mark.parametrize("query", ["query=1", "most=1", "Cursor=a", "cursor=a&cursor=b"])
def test_unknown_or_repeated_member_returns_400(path: str, query: str) -> None:
    with TestClient(app()) as client:
        assert client.get(f"{path}?{query}").status_code == 400
