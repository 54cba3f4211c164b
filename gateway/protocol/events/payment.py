"""Events of payments by phone. The command for them, `pay`, is not among ours; an application may send it itself."""

from typing import Any, Literal

from pydantic import Field

from gateway.protocol.events.base import BaseEvent, CallPayload

__all__ = ["CallPaymentCompleted", "CallPaymentProgress"]


class PaymentPayload(CallPayload):
    """Of `call.payment.*`; Telnyx masks the numbers, and so do we."""

    bank_account_number: str | None = Field(None, repr=False)
    bank_account_type: str | None = None
    bank_routing_number: str | None = Field(None, repr=False)
    expiration_date: str | None = Field(None, repr=False)
    payment_card_number: str | None = Field(None, repr=False)
    payment_card_postal_code: str | None = Field(None, repr=False)
    payment_card_type: str | None = None  # visa, mastercard, amex, ...
    payment_connector: str | None = None
    payment_method: str | None = None  # credit-card, ach-debit
    security_code: str | None = Field(None, repr=False)


class PaymentProgressPayload(PaymentPayload):
    """Of `call.payment.progress`."""

    attempt: int | None = None
    error_type: str | None = None  # timeout, invalid-card-number, ...
    payment_status: str | None = None  # processing, completed, failed
    payment_step: str | None = None  # payment-card-number, expiration-date, ...


class CallPaymentProgress(BaseEvent):
    """The caller gave something, or did not."""

    event_type: Literal["call.payment.progress"]
    payload: PaymentProgressPayload = PaymentProgressPayload()


class PaymentCompletedPayload(PaymentPayload):
    """Of `call.payment.completed`."""

    charge_id: str | None = None
    connector_error: dict[str, Any] | str | None = None
    pay_error_code: str | None = None
    payment_confirmation_code: str | None = Field(None, repr=False)
    payment_error: str | None = None
    result: str | None = None  # success, cancelled, too-many-failed-attempts, ...
    token_id: str | None = Field(None, repr=False)


class CallPaymentCompleted(BaseEvent):
    """The payment is over."""

    event_type: Literal["call.payment.completed"]
    payload: PaymentCompletedPayload = PaymentCompletedPayload()
