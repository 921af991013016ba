// The calls about API keys, roles and bindings, and the identity of the caller.
import { Caller, type CallOptions, type ChangeOptions } from "./caller.js";
import { Effect } from "./gen/strongroom/v1/access_pb.js";
import { optional } from "./generate.js";
import type { ApiKey, Binding, CreatedApiKey, Explanation, Identity, Right, Role } from "./models.js";
import { apiKeyOf, bindingOf, result, rightsOf, roleOf, wireDate, wireDuration, wireRight } from "./replies.js";
import { SecretValue } from "./value.js";

/** The options of `createKey`. */
export interface CreateKeyOptions extends CallOptions {
  /** The home namespace of the key. Undefined: that of the caller. */
  readonly homeNamespace?: string | undefined;
  /** When the key expires. Undefined: never, unless `ttlMs` is set. */
  readonly expiresAt?: Date | undefined;
  /** How long the key works, in milliseconds. */
  readonly ttlMs?: number | undefined;
  /** The role on all secrets of its home namespace. Undefined: `editor`. `none`: no right. */
  readonly role?: string | undefined;
}

/** The options of `rotateKey`. */
export interface RotateKeyOptions extends CallOptions {
  /** How long the present secret of the key still works. Undefined: it stops working at once. */
  readonly overlapMs?: number | undefined;
}

/** The options of `createRole`. */
export interface CreateRoleOptions extends CallOptions {
  /** The rights of the role: at least one. */
  readonly rights: readonly Right[];
  /** What the role is for. */
  readonly description?: string | undefined;
}

/** The options of `createBinding`. */
export interface CreateBindingOptions extends ChangeOptions {
  /** Whom the binding is for, for example `key:abcdefghijklmnop` or `group:corp:ops`. */
  readonly principal: string;
  /** The name of the role. */
  readonly role: string;
  /** The namespaces: one (`team/ci`), one and everything below it (`team/**`), or all (`**`). */
  readonly namespacePattern: string;
  /** The names of secrets. Each `*` stands for any characters. Undefined: every name. */
  readonly namePattern?: string | undefined;
  /** Deny the rights, whatever other bindings give. Undefined: give them. */
  readonly deny?: boolean | undefined;
  /** From when on the binding does not count any more. Undefined: it never expires. */
  readonly expiresAt?: Date | undefined;
  /** What the binding is for. */
  readonly description?: string | undefined;
}

/** The options of `listBindings`. */
export interface ListBindingsOptions extends CallOptions {
  /** Only bindings of this principal. */
  readonly principal?: string | undefined;
  /** Only bindings of this role. */
  readonly role?: string | undefined;
  /** Only bindings that match this namespace. */
  readonly namespace?: string | undefined;
}

/** The question of `explain`. */
export interface ExplainOptions extends CallOptions {
  /** The principal. Undefined: the caller. */
  readonly principal?: string | undefined;
  /** The namespace. Undefined: the service as a whole. */
  readonly namespace?: string | undefined;
  /** The name of a secret, which need not exist. Needs `namespace`. Undefined: some name. */
  readonly name?: string | undefined;
}

/**
 * API keys, roles, bindings, and the identity of the caller: `client.access`.
 *
 * Every method can throw the errors that every method of `Secrets` can throw. The comment of a method names the others.
 */
export class Access {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Creates an API key. Needs the right `manage_access` on its home namespace, and all rights of its role.
   *
   * The call has no `requestId`, so it is not sent again: after an `UnavailableError`, `listKeys` shows whether the key exists.
   */
  async createKey(name: string, options: CreateKeyOptions = {}): Promise<CreatedApiKey> {
    const request = {
      name,
      homeNamespace: options.homeNamespace ?? "",
      ...optional("expiresAt", wireDate("expiresAt", options.expiresAt)),
      ...optional("ttl", wireDuration("ttlMs", options.ttlMs)),
      role: options.role ?? "",
    };
    const reply = await this.#caller.call(
      { method: "CreateApiKey", repeatable: false, send: (stubs, call) => stubs.access.createApiKey(request, call) },
      options,
    );
    const credential = SecretValue.from(reply.credential);
    return result({ apiKey: apiKeyOf(reply.apiKey), credential, revision: reply.revision });
  }

  /** Returns the API keys that the caller manages, oldest first. Needs the right `manage_access`. */
  async *listKeys(options: CallOptions = {}): AsyncGenerator<ApiKey, void, undefined> {
    for (let pageToken = ""; ; ) {
      const request = { limit: 1_000, pageToken };
      const page = await this.#caller.call(
        { method: "ListApiKeys", send: (stubs, call) => stubs.access.listApiKeys(request, call) },
        options,
      );
      yield* page.items.map(apiKeyOf);
      pageToken = page.nextPageToken;
      if (pageToken === "") {
        return;
      }
    }
  }

  /** Revokes an API key for good, and deletes its bindings. Also throws `ApiKeyNotFoundError`, `LastAdministratorError`. */
  async revokeKey(id: string, options: CallOptions = {}): Promise<ApiKey> {
    const reply = await this.#caller.call(
      { method: "RevokeApiKey", send: (stubs, call) => stubs.access.revokeApiKey({ id }, call) },
      options,
    );
    return apiKeyOf(reply.apiKey);
  }

  /** Gives an API key a new secret. Every key may rotate itself. It is not sent again. Also throws `ApiKeyNotFoundError`. */
  async rotateKey(id: string, options: RotateKeyOptions = {}): Promise<CreatedApiKey> {
    const request = { id, ...optional("overlap", wireDuration("overlapMs", options.overlapMs)) };
    const reply = await this.#caller.call(
      { method: "RotateApiKey", repeatable: false, send: (stubs, call) => stubs.access.rotateApiKey(request, call) },
      options,
    );
    const credential = SecretValue.from(reply.credential);
    return result({ apiKey: apiKeyOf(reply.apiKey), credential, revision: reply.revision });
  }

  /** Creates a role. Needs the right `manage_access` on everything. It is not sent again. Also throws `RoleAlreadyExistsError`. */
  async createRole(name: string, options: CreateRoleOptions): Promise<Role> {
    const request = { name, rights: options.rights.map(wireRight), description: options.description ?? "" };
    const reply = await this.#caller.call(
      { method: "CreateRole", repeatable: false, send: (stubs, call) => stubs.access.createRole(request, call) },
      options,
    );
    return roleOf(reply.role);
  }

  /** Returns all roles. Needs the right `manage_access` on some namespace. */
  async listRoles(options: CallOptions = {}): Promise<readonly Role[]> {
    const reply = await this.#caller.call(
      { method: "ListRoles", send: (stubs, call) => stubs.access.listRoles({}, call) },
      options,
    );
    return reply.items.map(roleOf);
  }

  /** Deletes a role that no binding has. It is not sent again. Also throws `RoleNotFoundError`, `RoleInUseError`. */
  async deleteRole(name: string, options: CallOptions = {}): Promise<void> {
    await this.#caller.call(
      { method: "DeleteRole", repeatable: false, send: (stubs, call) => stubs.access.deleteRole({ name }, call) },
      options,
    );
  }

  /** Creates a binding. Needs the right `manage_access` on its patterns. Also throws `RoleNotFoundError`, `ApiKeyNotFoundError`. */
  async createBinding(options: CreateBindingOptions): Promise<Binding> {
    const requestId = Caller.requestId(options);
    const request = {
      principal: options.principal,
      role: options.role,
      namespacePattern: options.namespacePattern,
      namePattern: options.namePattern ?? "",
      effect: options.deny === true ? Effect.DENY : Effect.ALLOW,
      ...optional("expiresAt", wireDate("expiresAt", options.expiresAt)),
      description: options.description ?? "",
      requestId,
    };
    const reply = await this.#caller.call(
      { method: "CreateBinding", requestId, send: (stubs, call) => stubs.access.createBinding(request, call) },
      options,
    );
    return bindingOf(reply.binding);
  }

  /** Returns the bindings that the caller manages, oldest first. Needs the right `manage_access`. */
  async *listBindings(options: ListBindingsOptions = {}): AsyncGenerator<Binding, void, undefined> {
    for (let pageToken = ""; ; ) {
      const request = {
        principal: options.principal ?? "",
        role: options.role ?? "",
        namespace: options.namespace ?? "",
        limit: 1_000,
        pageToken,
      };
      const page = await this.#caller.call(
        { method: "ListBindings", send: (stubs, call) => stubs.access.listBindings(request, call) },
        options,
      );
      yield* page.items.map(bindingOf);
      pageToken = page.nextPageToken;
      if (pageToken === "") {
        return;
      }
    }
  }

  /** Deletes a binding. It is not sent again. Also throws `BindingNotFoundError`, `LastAdministratorError`. */
  async deleteBinding(id: string, options: CallOptions = {}): Promise<void> {
    await this.#caller.call(
      { method: "DeleteBinding", repeatable: false, send: (stubs, call) => stubs.access.deleteBinding({ id }, call) },
      options,
    );
  }

  /** Returns the identity of the caller and its rights. Needs no right. */
  async whoami(options: CallOptions = {}): Promise<Identity> {
    const reply = await this.#caller.call(
      { method: "WhoAmI", send: (stubs, call) => stubs.access.whoAmI({}, call) },
      options,
    );
    return result({
      principal: reply.principal,
      apiKey: reply.apiKey && apiKeyOf(reply.apiKey),
      rights: rightsOf(reply.rights),
      groups: reply.groups,
      homeNamespace: reply.homeNamespace,
      revision: reply.revision,
    });
  }

  /** Says whether a principal has a right, and which binding decides. The caller needs no right to ask about itself. */
  async explain(right: Right, options: ExplainOptions = {}): Promise<Explanation> {
    const request = {
      principal: options.principal ?? "",
      right: wireRight(right),
      namespace: options.namespace ?? "",
      name: options.name ?? "",
    };
    const reply = await this.#caller.call(
      { method: "ExplainAccess", send: (stubs, call) => stubs.access.explainAccess(request, call) },
      options,
    );
    return result({
      allowed: reply.allowed,
      binding: reply.binding && bindingOf(reply.binding),
      explanation: reply.explanation,
      remedy: reply.remedy,
      revision: reply.revision,
    });
  }
}
