"""Django REST framework: the seed's case, and a view in which every phase can cost something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.serializers import CharField, IntegerField, Serializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from demo_site.cost import count, spin_as_asked

if TYPE_CHECKING:
    from rest_framework.request import Request


class TestView(APIView):
    """The seed: a constant, without a database."""

    def get(self, request: Request) -> Response:
        """Answer at once."""
        return Response({"message": "Test Message"})


@dataclass(frozen=True)
class Caller:
    """Who asks: known without looking anywhere."""

    name: str
    is_authenticated: bool = True


class Authentication(BaseAuthentication):
    """Take everyone for the same caller; costs `?authentication=` ms."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        """Spin as asked."""
        spin_as_asked(request, "authentication")
        return Caller("demo"), None


class Permission(BasePermission):
    """Let in whoever has been authenticated; costs `?permission=` ms."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Spin as asked."""
        spin_as_asked(request, "permission")
        return request.user.is_authenticated


class Throttle(BaseThrottle):
    """Throttle nobody; costs `?throttle=` ms."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Spin as asked."""
        spin_as_asked(request, "throttle")
        return True


class BookSerializer(Serializer):
    """Two fields a book; costs `?serializer=` ms a book."""

    title = CharField()
    pages = IntegerField()

    def to_representation(self, instance: Any) -> Any:
        """Spin as asked."""
        spin_as_asked(self.context["request"], "serializer")
        return super().to_representation(instance)


class BooksView(APIView):
    """Authentication, permission, throttle and a serializer of `?books=` (10) books, no database.

    Costs what DRF costs, and as many milliseconds in each phase as its parameter
    says: `authentication`, `permission`, `throttle`, `handler`, `serializer` (a
    book), each 0 if not given.
    """

    authentication_classes = (Authentication,)
    permission_classes = (Permission,)
    throttle_classes = (Throttle,)

    def get(self, request: Request) -> Response:
        """Serialise the books."""
        spin_as_asked(request, "handler")
        books = [
            {"title": f"Volume {number}", "pages": number}
            for number in range(count(request, "books", 10))
        ]
        return Response(BookSerializer(books, many=True, context={"request": request}).data)
